public import Tensors

/// `0, 1, 2, …`, as many as dimension `axis` of x has.
///
/// - C1: axis is a dimension of x; negative values count from the end.
public struct Iota: Op {
  public static let schema = OpSchema("iota", operands: ["x"], traits: [.shapeOnly])
  public let axis: Int

  public init(axis: Int) { self.axis = axis }

  public func infer(_ operands: [TensorType]) throws(OpError) -> [TensorType] {
    let x = operands[0]
    try require(x.resolves(axis: axis), "iota_c1", "axis \(axis) is not a dimension of \(x)")
    return [TensorType(.int64, [x.dims[x.resolved(axis: axis)]])]
  }

  public func evaluate(_ operands: [Tensor]) throws -> [Tensor] {
    let count = operands[0].shape[operands[0].type.resolved(axis: axis)]
    return [Tensor((0..<count).map { Int64($0) }, shape: [count])]
  }
}
