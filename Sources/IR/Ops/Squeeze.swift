public import Tensors

/// x without its dimension `axis`, which is 1.
///
/// - C1: axis is a dimension of x; negative values count from the end.
/// - C2: that dimension is 1.
public struct Squeeze: Op {
  public static let schema = OpSchema(
    "squeeze", operands: ["x"], traits: [.view], foreign: [.mindIR("Squeeze"), .ascend("Squeeze")])
  public let axis: Int

  public init(axis: Int) { self.axis = axis }

  public func infer(_ operands: [TensorType]) throws(OpError) -> [TensorType] {
    var x = operands[0]
    try require(x.resolves(axis: axis), "squeeze_c1", "axis \(axis) is not a dimension of \(x)")
    let dim = x.dims.remove(at: x.resolved(axis: axis))
    try require(dim == 1, "squeeze_c2", "dimension \(axis) of \(operands[0]) is not 1")
    return [x]
  }

  public func evaluate(_ operands: [Tensor]) throws -> [Tensor] {
    [operands[0].reshaped(try infer([operands[0].type])[0].shape!)]
  }
}
