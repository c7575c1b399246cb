import IR
import Tensors

/// `x · sigmoid(x)` becomes `silu`.
public struct FuseSilu: FusionPass {
  public let name = "fuse-silu"
  let result = "silu"
  let roots: [any Op.Type] = [Multiply.self]
  let patterns: [Pattern] = [.value("x") * .op(Sigmoid.self, .value("x"))]
  public init() {}
  func fuse(_ match: Match, in _: inout Graph, at _: ValueID) -> Fusion { .replaced(Silu(), [match["x"]]) }
}
