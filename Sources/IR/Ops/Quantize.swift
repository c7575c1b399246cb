public import Tensors

/// `saturate(round(x / scale) + zero_point)`, ties to even; floats of at most 8 bits saturate to the largest finite
/// number. A NaN becomes the zero point, or NaN in a float that has one.
///
/// A scalar scale goes with all of x. Without `block`, a vector goes along `axis`. With it, scale has the dimensions of
/// x, but `axis` divided by `block`, and each goes with that many consecutive elements.
///
/// - C1: x and scale are floating point.
/// - C2: dtype is a whole number of at most 32 bits or a float of at most 8.
/// - C3: axis, block and the shape of scale are as above.
/// - C4: zero_point has the type dtype, a whole number, and the shape of scale.
public struct Quantize: Op {
  public static let schema = OpSchema(
    "quantize", operands: ["x", "scale"], optional: ["zero_point"], foreign: [.onnx("QuantizeLinear", since: 21)])
  public static let defaults: Attributes = ["axis": .int(-1), "block": .int(0)]
  public let axis: Int
  public let block: Int
  public let dtype: DType

  public init(axis: Int = -1, block: Int = 0, dtype: DType) {
    self.axis = axis
    self.block = block
    self.dtype = dtype
  }

  public func infer(_ operands: [TensorType]) throws(OpError) -> [TensorType] {
    let (x, scale) = (operands[0], operands[1])
    try require(
      x.dtype.isFloat && scale.dtype.isFloat, "quantize_c1", "x and scale must be floating point, got \(x) and \(scale)"
    )
    try require(dtype.quantizedRange != nil, "quantize_c2", "\(dtype) is not quantized to")
    try require(
      QuantizationLayout(axis: axis, block: block).accepts(scale, for: x), "quantize_c3",
      "scale \(scale) does not go with \(x) along \(axis) in blocks of \(block)")
    if operands.count > 2 {
      try require(
        operands[2].dtype == dtype && dtype.isInteger && operands[2].dims == scale.dims, "quantize_c4",
        "zero point \(operands[2]) does not go with \(dtype) and scale \(scale)")
    }
    return [TensorType(dtype, x.dims)]
  }

  public func evaluate(_ operands: [Tensor]) throws -> [Tensor] {
    let (x, scale) = (operands[0], operands[1].doubles)
    guard let range = dtype.quantizedRange else { preconditionFailure("refused by inference") }
    let zeroPoint = operands.count > 2 ? operands[2].doubles : [Double](repeating: 0, count: scale.count)
    let indices = QuantizationLayout(axis: axis, block: block).indices(x.shape, scaleRank: operands[1].rank)
    let values = zip(x.doubles, indices).map { value, index in
      var quotient = value / scale[index]
      if dtype.isInteger { quotient = quotient.isNaN ? 0 : quotient.rounded(.toNearestOrEven) }
      let shifted = quotient + zeroPoint[index]
      return shifted.isNaN ? shifted : min(max(shifted, range.lowerBound), range.upperBound)
    }
    return [try Tensor(dtype, shape: x.shape, doubles: values)]
  }
}
