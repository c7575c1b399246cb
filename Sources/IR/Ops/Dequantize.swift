public import Tensors

/// `(x - zero_point) * scale`, with the type of scale.
///
/// A scalar scale goes with all of x. Without `block`, a vector goes along `axis`. With it, scale has the dimensions of
/// x, but `axis` divided by `block`, and each goes with that many consecutive elements.
///
/// - C1: x is a whole number of at most 32 bits or a float of at most 8.
/// - C2: scale is floating point of at least 16 bits, as the result has its type.
/// - C3: axis, block and the shape of scale are as above.
/// - C4: zero_point has the type of x or of scale, and the shape of scale.
public struct Dequantize: Op {
  public static let schema = OpSchema(
    "dequantize", operands: ["x", "scale"], optional: ["zero_point"], foreign: [.onnx("DequantizeLinear", since: 21)])
  public static let defaults: Attributes = ["axis": .int(-1), "block": .int(0)]
  public let axis: Int
  public let block: Int

  public init(axis: Int = -1, block: Int = 0) {
    self.axis = axis
    self.block = block
  }

  public func infer(_ operands: [TensorType]) throws(OpError) -> [TensorType] {
    let (x, scale) = (operands[0], operands[1])
    try require(
      x.dtype.quantizedRange != nil || x.dtype == .float8e8m0, "dequantize_c1", "\(x) is not a quantized type")
    try require(
      scale.dtype.isFloat && scale.dtype.bits >= 16, "dequantize_c2", "scale must be a wide float, got \(scale)")
    try require(
      QuantizationLayout(axis: axis, block: block).accepts(scale, for: x), "dequantize_c3",
      "scale \(scale) does not go with \(x) along \(axis) in blocks of \(block)")
    if operands.count > 2 {
      try require(
        (operands[2].dtype == x.dtype || operands[2].dtype == scale.dtype) && operands[2].dims == scale.dims,
        "dequantize_c4", "zero point \(operands[2]) does not go with \(x) and scale \(scale)")
    }
    return [TensorType(scale.dtype, x.dims)]
  }

  public func evaluate(_ operands: [Tensor]) throws -> [Tensor] {
    let (x, scale) = (operands[0], operands[1].doubles)
    let zeroPoint = operands.count > 2 ? operands[2].doubles : [Double](repeating: 0, count: scale.count)
    let indices = QuantizationLayout(axis: axis, block: block).indices(x.shape, scaleRank: operands[1].rank)
    let values = zip(x.doubles, indices).map { ($0 - zeroPoint[$1]) * scale[$1] }
    return [try Tensor(operands[1].dtype, shape: x.shape, doubles: values)]
  }
}
