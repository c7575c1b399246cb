public import Tensors

/// Eight-bit weights as recipes of msModelSlim's older form, `modelslim_v0`, store them: scales and the bias in the
/// model's type, and for layers with one grid for their input both sides' scales.
public struct EightBitsV0: LinearScheme {
  public enum Kind: String, Sendable {
    case w8a8 = "W8A8"
    case mix = "W8A8_MIX"
    case dynamic = "W8A8_DYNAMIC"
    case w8a16 = "W8A16"
    /// Weights of about four bits, see ``OutlierRule``; of their scales only the product with the input's is stored.
    case sparse = "W8A8S"
  }

  public let kind: Kind
  /// Whether scale and offset of the input are float32 for every type of model.
  public let hasFloatInput: Bool
  /// Whether scales of weights, and their products with the input's, are float32 for every type of model.
  public let hasFloatScales: Bool

  public init(_ kind: Kind, hasFloatInput: Bool = false, hasFloatScales: Bool = false) {
    (self.kind, self.hasFloatInput, self.hasFloatScales) = (kind, hasFloatInput, hasFloatScales)
  }

  public var name: String { kind.rawValue.lowercased() + " of modelslim_v0" }
  public var descriptionType: String { kind.rawValue }
  public var grid: WeightGrid { .whole(bits: 8, isSymmetric: true) }
  /// Layers that are quantized per token later are calibrated with one grid as well.
  public var needsInputGrid: Bool { kind != .w8a16 }
  public var quantizesInputs: Bool { kind != .w8a16 }
  public var keepsBias: Bool { true }

  private var storesInputGrid: Bool { kind == .w8a8 || kind == .mix || kind == .sparse }
  private var storesScales: Bool { kind != .sparse }

  public func tensors(_ weight: LinearWeight) -> [SchemeTensor] {
    let scale = [weight.rows, 1]
    var tensors = [SchemeTensor("weight", .int8, [weight.rows, weight.columns])]
    if storesScales {
      tensors += [
        SchemeTensor("weight_scale", weight.dtype, scale), SchemeTensor("weight_offset", weight.dtype, scale),
      ]
    }
    if storesInputGrid { tensors += InputProductV0.tensors(weight, input: hasFloatInput ? .float32 : weight.dtype) }
    return tensors
  }

  public func quantize(_ rows: WeightRows) throws -> [Bytes] {
    var result = try WeightCodes.whole(rows, bits: 8)
    // -128 occurs where rounding to a type of 16 bits makes the largest greater than 127 scales.
    if kind != .sparse { result.codes = result.codes.map { $0 == 0x80 ? 0x81 : $0 } }
    var bytes = [Bytes(result.codes)]
    if storesScales {
      bytes += try [result.scales, result.offsets].map { try WeightCodes.bytes($0, as: rows.weight.dtype) }
    }
    if storesInputGrid {
      bytes += try InputProductV0.bytes(
        rows, result, input: hasFloatInput ? .float32 : rows.weight.dtype,
        product: hasFloatScales ? .float32 : rows.weight.dtype)
    }
    return bytes
  }
}

/// What `modelslim_v0` stores of a layer's input: its grid, the product of both scales, and what the offset adds to
/// each output, taken off in advance.
enum InputProductV0 {
  static func tensors(_ weight: LinearWeight, input: DType) -> [SchemeTensor] {
    [
      SchemeTensor("input_scale", input, [1]), SchemeTensor("input_offset", input, [1]),
      SchemeTensor("quant_bias", .int32, [weight.rows]),
      SchemeTensor("deq_scale", weight.dtype == .bfloat16 ? .float32 : .int64, [weight.rows]),
    ]
  }

  /// - Parameter product: the type that products of scales are rounded to.
  static func bytes(
    _ rows: WeightRows, _ result: WeightCodes, input type: DType, product: DType
  ) throws -> [Bytes] {
    let (dtype, columns, module) = (rows.weight.dtype, rows.weight.columns, rows.weight.module)
    guard let input = rows.input else {
      throw BessemerError(.weights, "nothing is known of the input of \(quoted(module)); it needs calibration")
    }
    let scales = result.scales.map {
      WeightCodes.round(input.scale * WeightCodes.round($0, to: product), to: product)
    }
    let biases = try scales.indices.map { row -> Int32 in
      let sum = result.codes[(row * columns)..<((row + 1) * columns)].reduce(0) { $0 + Int(Int8(bitPattern: $1)) }
      let own = rows.bias.map { $0[row] / scales[row] } ?? 0
      guard let bias = Int32(exactly: (own - Float(sum) * input.offset).rounded(.toNearestOrEven)) else {
        throw BessemerError(.weights, "the bias of \(quoted(module)) is beyond 32 bits of its scale")
      }
      return bias
    }
    let isFirst = rows.range.lowerBound == 0
    return [
      try WeightCodes.bytes(isFirst ? [input.scale] : [], as: type),
      try WeightCodes.bytes(isFirst ? [input.offset] : [], as: type), biases.withUnsafeBytes { Bytes($0) },
      dtype == .bfloat16
        ? WeightCodes.bytes(scales)
        : scales.map { Int64(Int32(bitPattern: $0.bitPattern)) }.withUnsafeBytes { Bytes($0) },
    ]
  }
}
