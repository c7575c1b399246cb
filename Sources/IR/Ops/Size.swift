public import Tensors

/// Dimension `axis` of x, as a scalar.
///
/// - C1: axis is a dimension of x; negative values count from the end.
public struct Size: Op {
  public static let schema = OpSchema("size", operands: ["x"], traits: [.shapeOnly])
  public let axis: Int

  public init(axis: Int) { self.axis = axis }

  public func infer(_ operands: [TensorType]) throws(OpError) -> [TensorType] {
    try require(operands[0].resolves(axis: axis), "size_c1", "axis \(axis) is not a dimension of \(operands[0])")
    return [TensorType(.int64, [])]
  }

  public func evaluate(_ operands: [Tensor]) throws -> [Tensor] {
    [Tensor([Int64(operands[0].shape[operands[0].type.resolved(axis: axis)])], shape: [])]
  }
}
