public import Tensors

/// x with a dimension of 1 put in, which is dimension `axis` of the result.
///
/// - C1: axis is a dimension of the result; negative values count from its end.
public struct Unsqueeze: Op {
  public static let schema = OpSchema(
    "unsqueeze", operands: ["x"], traits: [.view], foreign: [.mindIR("ExpandDims"), .ascend("Unsqueeze")])
  public let axis: Int

  public init(axis: Int) { self.axis = axis }

  public func infer(_ operands: [TensorType]) throws(OpError) -> [TensorType] {
    var x = operands[0]
    try require(axis >= -x.rank - 1 && axis <= x.rank, "unsqueeze_c1", "axis \(axis) is no place in \(x)")
    x.dims.insert(1, at: axis < 0 ? axis + x.rank + 1 : axis)
    return [x]
  }

  public func evaluate(_ operands: [Tensor]) throws -> [Tensor] {
    [operands[0].reshaped(try infer([operands[0].type])[0].shape!)]
  }
}
