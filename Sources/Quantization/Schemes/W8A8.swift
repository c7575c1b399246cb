public import Tensors

/// Eight-bit weights with a scale for each output, and inputs quantized by one scale and offset that calibration found.
///
/// The product of both scales is stored, as a float for bfloat16 models and as a float's bits in 64 otherwise, and what
/// the input's offset adds to each output is taken off in advance, in `quant_bias`.
public struct W8A8: LinearScheme {
  /// Whether the product of scales is a float for every type of model, as MindIE and mindformers have it.
  public let hasFloatScales: Bool

  public init(hasFloatScales: Bool = false) { self.hasFloatScales = hasFloatScales }

  public var name: String { "w8a8" }
  public var descriptionType: String { "W8A8" }
  public var grid: WeightGrid { .whole(bits: 8, isSymmetric: true) }
  public var needsInputGrid: Bool { true }

  public func tensors(_ weight: LinearWeight) -> [SchemeTensor] {
    [
      SchemeTensor("weight", .int8, [weight.rows, weight.columns]),
      SchemeTensor("quant_bias", .int32, [weight.rows]),
      SchemeTensor("input_scale", .float32, [1]),
      SchemeTensor("input_offset", .float32, [1]),
      SchemeTensor("deq_scale", hasFloatScales || weight.dtype == .bfloat16 ? .float32 : .int64, [weight.rows]),
    ]
  }

  public func quantize(_ rows: WeightRows) throws -> [Bytes] {
    try tensors(rows, WeightCodes.whole(rows, bits: 8))
  }

  func tensors(_ rows: WeightRows, _ result: WeightCodes) throws -> [Bytes] {
    let columns = rows.weight.columns
    guard let input = rows.input else {
      throw BessemerError(
        .weights, "nothing is known of the input of \(quoted(rows.weight.module)); it needs calibration")
    }
    let dtype = input.isWide ? .float32 : rows.weight.dtype
    let inputScale = WeightCodes.round(input.scale, to: dtype)
    let scales = result.scales.map { WeightCodes.round(inputScale * WeightCodes.round($0, to: dtype), to: dtype) }
    let biases = try scales.indices.map { row -> Int32 in
      let sum = result.codes[(row * columns)..<((row + 1) * columns)].reduce(0) { $0 + Int(Int8(bitPattern: $1)) }
      let own = rows.bias.map { WeightCodes.round($0[row] / scales[row], to: dtype) } ?? 0
      let bias = (own - Float(sum) * input.offset).rounded(.toNearestOrEven)
      guard let bias = Int32(exactly: bias) else {
        throw BessemerError(
          .weights, "the bias of \(quoted(rows.weight.module)) is beyond 32 bits of its scale")
      }
      return bias
    }
    let isFirst = rows.range.lowerBound == 0
    return [
      Bytes(result.codes), biases.withUnsafeBytes { Bytes($0) },
      WeightCodes.bytes(isFirst ? [input.scale] : []), WeightCodes.bytes(isFirst ? [input.offset] : []),
      hasFloatScales || rows.weight.dtype == .bfloat16
        ? WeightCodes.bytes(scales)
        : scales.map { Int64(Int32(bitPattern: $0.bitPattern)) }.withUnsafeBytes { Bytes($0) },
    ]
  }
}
