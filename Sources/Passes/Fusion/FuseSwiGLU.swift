import IR
import Tensors

/// `silu(a) · b`, where a and b are the halves of one value, becomes `swiglu` of that value.
///
/// Source: Shazeer, arXiv 2002.05202.
public struct FuseSwiGLU: RewritePass {
  public let name = "fuse-swiglu"
  let roots: [any Op.Type] = [Multiply.self]
  public init() {}

  func rewrite(_ graph: inout Graph, _ id: NodeID, _ report: inout PassReport) -> Bool {
    let node = graph[id]
    for (gate, up) in [(node.operands[0], node.operands[1]), (node.operands[1], node.operands[0])] {
      guard let (silu, _) = graph.producer(of: gate, as: Silu.self), graph.hasOneUse(gate) else { continue }
      guard let whole = graph.halves(silu.operands[0], up) else {
        report.declined("swiglu", by: name, because: "gate and up are not the halves of one value")
        continue
      }
      guard graph.replace(id, with: SwiGLU(), [whole]) else { continue }
      report.made("swiglu", by: name)
      return true
    }
    return false
  }
}
