import IR
import Tensors

/// `(x - mean(x)) / sqrt(mean((x - mean(x))²) + ε) · weight + bias` becomes `layer_norm`.
public struct FuseLayerNorm: FusionPass {
  public let name = "fuse-layer-norm"
  let result = "layer_norm"
  let roots: [any Op.Type] = [Add.self]
  let patterns: [Pattern]
  public init() {
    let x = Pattern.value("x")
    let centered = x - mean(x)
    let body = Pattern.maybeCast(normalized(centered, mean(squared(centered)) + .number("epsilon")))
    patterns = [body * .parameter("weight") + .parameter("bias")]
  }

  func fuse(_ match: Match, in graph: inout Graph, at value: ValueID) -> Fusion {
    let x = graph.unwidened(match["x"], to: graph.type(of: value).dtype)
    guard graph.isReducedOverLast(match) else { return .declined("the mean is not over the last dimension") }
    return .replaced(
      LayerNorm(epsilon: match.numbers["epsilon"]!), [x, graph.stored(match["weight"]), graph.stored(match["bias"])])
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
