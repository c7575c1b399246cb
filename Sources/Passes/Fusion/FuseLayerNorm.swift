import IR
import Tensors

/// `(x - mean(x)) / sqrt(mean((x - mean(x))²) + ε) · weight + bias` becomes `layer_norm`; so does what is without bias,
/// or without weight and bias.
public struct FuseLayerNorm: FusionPass {
  /// Which norms are found. Each is a part of the one before it, so they are looked for in this order.
  public enum Form: Sendable { case weightAndBias, weight, plain }

  public let name: String
  let result = "layer_norm"
  let roots: [any Op.Type]
  let patterns: [Pattern]

  public init(_ form: Form = .weightAndBias) {
    let x = Pattern.value("x")
    let centered = x - mean(x)
    let body = normalized(centered, mean(squared(centered)) + .number("epsilon"))
    let scaled = .maybeCast(body) * .parameter("weight")
    switch form {
    case .weightAndBias: (name, roots, patterns) = ("fuse-layer-norm", [Add.self], [scaled + .parameter("bias")])
    case .weight: (name, roots, patterns) = ("fuse-scaled-layer-norm", [Multiply.self], [scaled])
    case .plain: (name, roots, patterns) = ("fuse-plain-layer-norm", [Divide.self, Multiply.self], [body])
    }
  }

  func fuse(_ match: Match, in graph: inout Graph, at value: ValueID) -> Fusion {
    let x = graph.unwidened(match["x"], to: graph.type(of: value).dtype)
    guard graph.isReducedOverLast(match) else { return .declined("the mean is not over the last dimension") }
    let parameters = ["weight", "bias"].compactMap { match.values[$0] }.map { graph.stored($0) }
    return .replaced(LayerNorm(epsilon: match.numbers["epsilon"]!), [x] + parameters)
  }
}

extension Graph {
  /// The value of type `dtype` that `value` was widened from; the value itself when there is none.
  func unwidened(_ value: ValueID, to dtype: DType) -> ValueID {
    guard type(of: value).dtype != dtype, let (node, op) = producer(of: value, as: Cast.self),
      type(of: node.operands[0]).dtype == dtype, dtype.bits <= op.to.bits
    else { return value }
    return node.operands[0]
  }

  /// Whether every reduction of the match is over the last dimension.
  func isReducedOverLast(_ match: Match) -> Bool {
    match.nodes.allSatisfy { id in
      guard let op = self[id].op as? ReduceMean else { return true }
      let rank = type(of: self[id].operands[0]).rank
      return op.axes == [-1] || op.axes == [rank - 1]
    }
  }
}
