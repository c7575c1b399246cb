public import Tensors

/// The weight of a linear layer as a scheme sees it: [rows, columns], a row for each output.
public struct LinearWeight: Sendable, Equatable {
  /// The name of the layer; its weight's name is `module` and `.weight`.
  public let module: String
  /// The checkpoint's type, which all arithmetic on the weight is rounded to.
  public let dtype: DType
  /// Outputs.
  public let rows: Int
  /// Inputs.
  public let columns: Int

  /// The types that weights are quantized from.
  public static let dtypes: [DType] = [.float32, .bfloat16, .float16]

  /// Throws ``ErrorCode/unsupportedType`` for a type that is none of ``dtypes``, or a shape other than [rows, columns].
  public init(module: String, _ dtype: DType, shape: [Int]) throws {
    guard LinearWeight.dtypes.contains(dtype), shape.count == 2, shape.allSatisfy({ $0 > 0 }) else {
      throw BessemerError(
        .unsupportedType,
        "the weight of \(quoted(module)) is \(TensorType(dtype, shape: shape)); "
          + "weights to quantize are matrices of float32, bfloat16 or float16"
      )
    }
    self.module = module
    self.dtype = dtype
    rows = shape[0]
    columns = shape[1]
  }
}

/// Rows of a weight, with what belongs to them.
public struct WeightRows: Sendable {
  public let weight: LinearWeight
  /// Which rows.
  public let range: Range<Int>
  /// Their elements, in the weight's type; none where codes exist already.
  public let bytes: Bytes
  /// The bias of each, in the weight's type; nil for a layer without.
  public let bias: [Float]?
  /// How the layer's input is quantized; nil where that is found out when the model runs.
  public let input: InputGrid?
  /// How scales and codes are found.
  public let method: WeightMethod
  /// Codes that exist already; nil where they are found from the elements.
  public let stored: StoredCodes?

  public init(
    _ weight: LinearWeight, _ range: Range<Int>, bytes: Bytes, bias: [Float]? = nil, input: InputGrid? = nil,
    method: WeightMethod = .minmax, stored: StoredCodes? = nil
  ) {
    precondition(
      stored != nil || bytes.count == range.count * weight.columns * weight.dtype.bits / 8, "rows of another size")
    self.weight = weight
    self.range = range
    self.bytes = bytes
    self.bias = bias
    self.input = input
    self.method = method
    self.stored = stored
  }

  var elementCount: Int { range.count * weight.columns }

  /// The elements of a row. Throws ``ErrorCode/weights`` for NaN and infinity.
  func values(_ row: Int) throws -> [Float] {
    let size = weight.columns * weight.dtype.bits / 8
    let part = try Tensor(weight.dtype, shape: [weight.columns], bytes: bytes[(row * size)..<((row + 1) * size)])
    let values = part.doubles.map { Float($0) }
    guard values.allSatisfy(\.isFinite) else { throw WeightCodes.notFinite(weight) }
    return values
  }
}

/// The whole numbers that stand for a layer's input: x = scale * (code - offset), code in -128...127.
public struct InputGrid: Sendable, Equatable {
  public let scale: Float
  /// A whole number.
  public let offset: Float
  /// Whether arithmetic with it is that of float32, whatever the type of tensors and weights.
  public var isWide = false

  public init(scale: Float, offset: Float) {
    self.scale = scale
    self.offset = offset
  }
}
