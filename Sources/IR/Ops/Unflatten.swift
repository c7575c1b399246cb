public import Tensors

/// x with dimension `axis` cut into two, which are those of `like` at `start` and after it: undoes a reshape that
/// joined them. Nothing of `like` is read but its shape.
///
/// - C1: axis is a dimension of x, start one of `like` that is not the last; negative values count from the end.
/// - C2: the dimension of x is the product of the two.
public struct Unflatten: Op {
  public static let schema = OpSchema("unflatten", operands: ["x", "like"], traits: [.view])
  public let axis: Int
  public let start: Int

  public init(axis: Int, start: Int) {
    self.axis = axis
    self.start = start
  }

  public func infer(_ operands: [TensorType]) throws(OpError) -> [TensorType] {
    let (x, like) = (operands[0], operands[1])
    try require(
      x.resolves(axis: axis) && like.resolves(axis: start) && like.resolved(axis: start) < like.rank - 1,
      "unflatten_c1", "axis \(axis) of \(x) is not cut like dimension \(start) of \(like)")
    let (axis, start) = (x.resolved(axis: axis), like.resolved(axis: start))
    let parts = like.dims[start...start + 1]
    guard let whole = product(parts)?.dim, unify(whole, x.dims[axis]) != nil else {
      throw OpError("unflatten_c2", "\(x.dims[axis]) is not \(parts.map(\.description).joined(separator: " times "))")
    }
    var result = x
    result.dims.replaceSubrange(axis...axis, with: parts)
    return [result]
  }

  public func evaluate(_ operands: [Tensor]) throws -> [Tensor] {
    [operands[0].reshaped(try infer(operands.map(\.type))[0].shape!)]
  }
}
