public import Tensors

/// How a tensor is made of tensors of a source. Steps are those of ``TensorExpression/steps``.
public enum Recipe: Sendable {
  /// A tensor, and what is done to it.
  public struct Part: Sendable {
    public let source: TensorName
    public let steps: [String]
  }

  case turned(TensorName, steps: [String])
  case joined([Part], axis: Int)
  /// Slices of a tensor, and what is done to them.
  case part(TensorName, axis: Int, first: Int, count: Int, steps: [String])
}
