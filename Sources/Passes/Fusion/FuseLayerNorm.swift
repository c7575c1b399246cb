import IR
import Tensors

/// `(x - mean(x)) / sqrt(mean((x - mean(x))²) + ε) · weight + bias` becomes `layer_norm`.
public struct FuseLayerNorm: FusionPass {
  public let name = "fuse-layer-norm"
  let result = "layer_norm"
  let roots: [any Op.Type] = [Add.self]
  let patterns: [Pattern]
  public init() {
    let x = Pattern.captured("wide", .maybeCast(.value("x")))
    let centered = x - mean(x)
    let body = Pattern.maybeCast(normalized(centered, mean(squared(centered)) + .number("epsilon")))
    patterns = [body * .parameter("weight") + .parameter("bias")]
  }

  func fuse(_ match: Match, in graph: inout Graph, at value: ValueID) -> Fusion {
    let x = graph.sameTypeSource(match, value)
    guard graph.isReducedOverLast(match) else { return .declined("the mean is not over the last dimension") }
    return .replaced(
      LayerNorm(epsilon: match.numbers["epsilon"]!), [x, graph.stored(match["weight"]), graph.stored(match["bias"])])
  }
}

extension Graph {
  /// The captured `x` when its type is the result's, else its widened form `wide`.
  func sameTypeSource(_ match: Match, _ value: ValueID) -> ValueID {
    type(of: match["x"]) == type(of: value) ? match["x"] : match["wide"]
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
