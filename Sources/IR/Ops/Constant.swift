public import Tensors

/// A small tensor written in the graph itself: scalars, frequencies, tables of at most a few thousand elements.
public struct Constant: Op {
  public static let schema = OpSchema("constant", operands: [], foreign: [.onnx("Constant", since: 13)])
  public let value: TensorAttribute

  public init(_ value: Tensor) { self.value = TensorAttribute(value) }

  public func infer(_: [TensorType]) throws(OpError) -> [TensorType] { [value.tensor.type] }
  public func evaluate(_: [Tensor]) throws -> [Tensor] { [value.tensor] }
}
