import IR
import Tensors

/// `(x - mean(x)) / sqrt(mean((x - mean(x))²) + ε) · weight + bias` becomes `layer_norm`; so does what is without
/// weight and bias.
public struct FuseLayerNorm: FusionPass {
  public let name: String
  let result = "layer_norm"
  let roots: [any Op.Type]
  let patterns: [Pattern]

  /// - Parameter isAffine: whether to find norms with weight and bias, or those without, which are part of the others.
  public init(isAffine: Bool = true) {
    let x = Pattern.value("x")
    let centered = x - mean(x)
    let body = normalized(centered, mean(squared(centered)) + .number("epsilon"))
    name = isAffine ? "fuse-layer-norm" : "fuse-plain-layer-norm"
    roots = isAffine ? [Add.self] : [Divide.self, Multiply.self]
    patterns = [isAffine ? .maybeCast(body) * .parameter("weight") + .parameter("bias") : body]
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
