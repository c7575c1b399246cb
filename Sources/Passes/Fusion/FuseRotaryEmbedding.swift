import IR
import Tensors

/// `x · cos + partner(x) · sin` becomes `rotary_embedding`, for pairs that are halves or neighbours, of all or the
/// leading dimensions.
///
/// Source: Su et al., arXiv 2104.09864.
public struct FuseRotaryEmbedding: RewritePass {
  public let name = "fuse-rotary-embedding"
  let roots: [any Op.Type] = [Add.self, Concat.self]
  private let half: Pattern
  private let interleaved: [Pattern]

  public init() {
    let (first, second) = (Pattern.value("first"), Pattern.value("second"))
    func added(_ partner: Pattern) -> Pattern {
      .value("a") * .value("b") + .captured("partner", partner) * .value("sin")
    }
    func joined(_ first: Pattern, _ second: Pattern) -> Pattern { .captured("joined", .op(Concat.self, second, first)) }
    half = added(joined(first, .op(Negate.self, second)))
    interleaved = [
      added(.op(Reshape.self, joined(first, .op(Negate.self, second)))),
      added(.op(Reshape.self, joined(.op(Unsqueeze.self, first), .op(Unsqueeze.self, .op(Negate.self, second))))),
    ]
  }

  func rewrite(_ graph: inout Graph, _ id: NodeID, _ report: inout PassReport) -> Bool {
    if graph[id].op is Concat { return extend(&graph, id, &report) }
    let value = graph[id].results[0]
    for (k, pattern) in ([half] + interleaved).enumerated() {
      guard let match = graph.match(pattern, value), graph.isLast(match["joined"]),
        let x = k == 0 ? rotatedHalves(match, graph) : rotatedNeighbours(match, graph)
      else { continue }
      guard graph.type(of: match["partner"]) == graph.type(of: x), match["a"] == x || match["b"] == x else { continue }
      guard graph.isPrivate(match) else {
        report.declined("rotary_embedding", by: name, because: "an intermediate value is used elsewhere")
        continue
      }
      let operands = [x, match["a"] == x ? match["b"] : match["a"], match["sin"]]
      guard graph.replace(id, with: RotaryEmbedding(interleaved: k > 0), operands) else {
        report.declined("rotary_embedding", by: name, because: "the tables do not broadcast as a rotation's do")
        continue
      }
      report.made("rotary_embedding", by: name)
      return true
    }
    return false
  }

  /// The value of which `partner` is (-second half, first half).
  private func rotatedHalves(_ match: Match, _ graph: Graph) -> ValueID? {
    graph.halves(match["first"], match["second"])
  }

  /// The value of which `partner` is (-x[2i+1], x[2i]): by slices of every second element, or of pairs in a dimension
  /// of their own.
  private func rotatedNeighbours(_ match: Match, _ graph: Graph) -> ValueID? {
    let (first, second, joined) = (match["first"], match["second"], graph.type(of: match["joined"]))
    var source = graph.neighbours(first, second)
    if source == nil, let pairs = graph.halves(first, second), graph.type(of: pairs) == joined {
      source = graph.producer(of: pairs, as: Reshape.self)?.node.operands[0]
    }
    guard let x = source, let width = graph.type(of: x).dims.last?.value,
      joined.dims == graph.type(of: x).dims.dropLast() + [.known(width / 2), 2]
    else { return nil }
    return x
  }

  /// `concat(rotary(x[..., :r]), x[..., r:])` is a rotation of the leading dimensions of x.
  private func extend(_ graph: inout Graph, _ id: NodeID, _ report: inout PassReport) -> Bool {
    let node = graph[id]
    guard node.operands.count == 2, graph.isLast(node.results[0]),
      let (rotation, op) = graph.producer(of: node.operands[0], as: RotaryEmbedding.self),
      graph.hasOneUse(node.operands[0]), let head = graph.part(rotation.operands[0]),
      let tail = graph.part(node.operands[1]),
      head.source == tail.source
    else { return false }
    let x = head.source
    let last = graph.type(of: x).rank - 1
    guard head.axis == last, tail.axis == last, head.step == 1, tail.step == 1, head.first == 0,
      tail.first == head.count,
      graph.type(of: x) == graph.type(of: node.results[0])
    else { return false }
    return graph.replace(id, with: op, [x] + rotation.operands.dropFirst())
  }
}

extension Graph {
  /// Whether a `concat` is along the last dimension.
  fileprivate func isLast(_ joined: ValueID) -> Bool {
    guard let (_, op) = producer(of: joined, as: Concat.self) else { return false }
    return op.axis == -1 || op.axis == type(of: joined).rank - 1
  }
}
