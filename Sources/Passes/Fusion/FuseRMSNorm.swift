import IR
import Tensors

/// `x / sqrt(mean(x²) + ε) · weight` becomes `rms_norm`.
public struct FuseRMSNorm: FusionPass {
  public let name = "fuse-rms-norm"
  let result = "rms_norm"
  let roots: [any Op.Type] = [Multiply.self]
  let patterns: [Pattern]
  public init() {
    let x = Pattern.value("x")
    let body = Pattern.maybeCast(normalized(x, mean(squared(x)) + .number("epsilon")))
    patterns = [body * .parameter("weight")]
  }

  func fuse(_ match: Match, in graph: inout Graph, at value: ValueID) -> Fusion {
    guard graph.isReducedOverLast(match) else { return .declined("the mean is not over the last dimension") }
    let weight = graph.stored(match["weight"])
    guard graph.type(of: weight).rank == 1 else { return .declined("the weight is not a vector") }
    return .replaced(
      RMSNorm(epsilon: match.numbers["epsilon"]!),
      [graph.unwidened(match["x"], to: graph.type(of: value).dtype), weight])
  }
}
