public import Tensors

/// `a` where `condition` is true and `b` elsewhere, broadcasting.
///
/// - C1: condition is bool.
/// - C2: a and b have the same element type.
/// - C3: the shapes broadcast.
public struct Where: Op {
  public static let schema = OpSchema(
    "where", operands: ["condition", "a", "b"], traits: [.elementwise],
    foreign: [.onnx("Where", since: 16), .mindIR("Select"), .ascend("SelectV2")])
  public init() {}

  public func infer(_ operands: [TensorType]) throws(OpError) -> [TensorType] {
    let (condition, a, b) = (operands[0], operands[1], operands[2])
    try require(condition.dtype == .bool, "where_c1", "condition must be bool, got \(condition)")
    try require(a.dtype == b.dtype, "where_c2", "a and b must have one type, got \(a) and \(b)")
    guard let dims = broadcast([condition.dims, a.dims, b.dims]) else {
      throw OpError("where_c3", "\(condition), \(a) and \(b) do not broadcast")
    }
    return [TensorType(a.dtype, dims)]
  }

  public func evaluate(_ operands: [Tensor]) throws -> [Tensor] {
    let (condition, a, b) = (operands[0], operands[1], operands[2])
    let shape = try infer(operands.map(\.type))[0].shape!
    let chosen = condition.integers
    let branches = zip(a.broadcastIndices(to: shape), b.broadcastIndices(to: shape).map { $0 + a.elementCount })
    let elements = zip(condition.broadcastIndices(to: shape), branches).map { chosen[$0] != 0 ? $1.0 : $1.1 }
    return [try Tensor.flat([a, b]).picking(elements, shape: shape)]
  }
}
