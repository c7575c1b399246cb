public import Tensors

/// Whether `x` is false.
///
/// - C1: x is bool.
public struct Not: Op {
  public static let schema = OpSchema(
    "not", operands: ["x"], traits: [.elementwise],
    foreign: [.onnx("Not", since: 1), .mindIR("LogicalNot"), .ascend("LogicalNot")])
  public init() {}

  public func infer(_ operands: [TensorType]) throws(OpError) -> [TensorType] {
    try require(operands[0].dtype == .bool, "not_c1", "x must be bool, got \(operands[0])")
    return operands
  }

  public func evaluate(_ operands: [Tensor]) throws -> [Tensor] {
    let x = operands[0]
    return [try Tensor(.bool, shape: x.shape, bytes: Bytes(x.integers.map { $0 == 0 ? 1 : 0 }))]
  }
}
