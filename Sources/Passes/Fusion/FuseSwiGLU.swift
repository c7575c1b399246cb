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

extension Graph {
  /// The value whose first and second half along the last dimension are `first` and `second`.
  func halves(_ first: ValueID, _ second: ValueID) -> ValueID? {
    guard let id = producer(of: first), let other = producer(of: second), let source = self[id].operands.first else {
      return nil
    }
    let last = type(of: source).rank - 1
    guard last >= 0, let width = type(of: source).dims[last].value, width % 2 == 0 else { return nil }
    if id == other, let op = self[id].op as? Split {
      let isHalved = op.sizes == [width / 2, width / 2] && (op.axis == last || op.axis == -1)
      return isHalved && self[id].results == [first, second] ? source : nil
    }
    func isSlice(_ id: NodeID, from start: Int) -> Bool {
      guard let op = self[id].op as? Slice, self[id].operands[0] == source, op.step == 1 else { return false }
      return (op.axis == last || op.axis == -1) && op.start == start
        && type(of: self[id].results[0]).dims[last].value == width / 2
    }
    return isSlice(id, from: 0) && isSlice(other, from: width / 2) ? source : nil
  }
}
