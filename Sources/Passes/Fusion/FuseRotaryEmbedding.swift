import IR
import Tensors

/// `x · cos + partner(x) · sin` becomes `rotary_embedding`, for pairs that are halves or neighbours, of all or the leading dimensions.
///
/// Source: Su et al., arXiv 2104.09864.
public struct FuseRotaryEmbedding: RewritePass {
  public let name = "fuse-rotary-embedding"
  let roots: [any Op.Type] = [Add.self, Concat.self]
  private let half: Pattern
  private let interleaved: Pattern

  public init() {
    let x = Pattern.value("x")
    func slice(_ x: Pattern, first: Bool) -> Pattern {
      .node(Slice.self, { op in (op as? Slice).map { ($0.start == 0) == first && $0.step == 1 } ?? false }, [x])
    }
    func partner(_ x: Pattern) -> Pattern {
      .captured("joined", .op(Concat.self, .op(Negate.self, slice(x, first: false)), slice(x, first: true)))
    }
    half = x * .value("cos") + partner(x) * .value("sin")
    interleaved =
      x * .value("cos") + .op(Reshape.self, partner(.captured("pairs", .op(Reshape.self, x)))) * .value("sin")
  }

  func rewrite(_ graph: inout Graph, _ id: NodeID, _ report: inout PassReport) -> Bool {
    if graph[id].op is Concat { return extend(&graph, id, &report) }
    let value = graph[id].results[0]
    for (pattern, isInterleaved) in [(half, false), (interleaved, true)] {
      guard let match = graph.match(pattern, value), graph.isPrivate(match), isHalved(match, isInterleaved, graph)
      else { continue }
      guard
        graph.replace(id, with: RotaryEmbedding(interleaved: isInterleaved), [match["x"], match["cos"], match["sin"]])
      else {
        report.declined("rotary_embedding", by: name, because: "the tables do not broadcast as a rotation's do")
        continue
      }
      report.made("rotary_embedding", by: name)
      return true
    }
    return false
  }

  /// Whether the slices are the halves of the last dimension, or the members of neighbouring pairs.
  private func isHalved(_ match: Match, _ isInterleaved: Bool, _ graph: Graph) -> Bool {
    let joined = match["joined"]
    let type = graph.type(of: joined)
    guard let (node, op) = graph.producer(of: joined, as: Concat.self), op.axis == -1 || op.axis == type.rank - 1,
      let width = type.dims.last?.value
    else { return false }
    if isInterleaved {
      guard width == 2, graph.type(of: match["pairs"]) == type, type.rank == graph.type(of: match["x"]).rank + 1 else {
        return false
      }
    }
    return node.operands.allSatisfy { graph.type(of: $0).dims.last?.value == width / 2 }
  }

  /// `concat(rotary(x[..., :r]), x[..., r:])` is a rotation of the leading dimensions of x.
  private func extend(_ graph: inout Graph, _ id: NodeID, _ report: inout PassReport) -> Bool {
    let node = graph[id]
    guard node.operands.count == 2, let (rotation, op) = graph.producer(of: node.operands[0], as: RotaryEmbedding.self),
      graph.hasOneUse(node.operands[0]),
      let (head, headOp) = graph.producer(of: rotation.operands[0], as: Slice.self),
      let (tail, tailOp) = graph.producer(of: node.operands[1], as: Slice.self), head.operands == tail.operands,
      let concat = node.op as? Concat
    else { return false }
    let x = head.operands[0]
    let last = graph.type(of: x).rank - 1
    guard [concat.axis, headOp.axis, tailOp.axis].allSatisfy({ $0 == last || $0 == -1 }), headOp.start == 0,
      headOp.step == 1,
      tailOp.step == 1, let size = graph.type(of: rotation.operands[0]).dims[last].value, tailOp.start == size,
      graph.type(of: x) == graph.type(of: node.results[0])
    else { return false }
    return graph.replace(id, with: op, [x] + rotation.operands.dropFirst())
  }
}
