import IR
import Tensors

/// The projections to queries, keys and values of one attention become one `linear` whose result is split.
public struct MergeQKV: RewritePass {
  public let name = "merge-qkv"
  let roots: [any Op.Type] = [Attention.self]
  public init() {}

  func rewrite(_ graph: inout Graph, _ id: NodeID, _ report: inout PassReport) -> Bool {
    let projections = graph[id].operands.prefix(3).compactMap { graph.projection(of: $0) }
    guard projections.count == 3, Set(projections).count == 3 else { return false }
    if let reason = graph.obstacle(toMerging: projections) {
      report.declined("merged qkv", by: name, because: reason)
      return false
    }
    let merged = graph.merge(projections)
    let last = graph.type(of: merged).rank - 1
    let widths = projections.map { graph.type(of: $0).dims[last].value ?? 0 }
    guard let parts = try? graph.add(Split(axis: last, sizes: widths), [merged]) else { return false }
    for (old, new) in zip(projections, parts) { graph.replaceUses(of: old, with: new) }
    report.made("merged qkv", by: name)
    return true
  }
}

/// The gate and up projections of a gated feed-forward become one `linear` followed by `swiglu`.
public struct MergeGateUp: RewritePass {
  public let name = "merge-gate-up"
  let roots: [any Op.Type] = [Multiply.self]
  public init() {}

  func rewrite(_ graph: inout Graph, _ id: NodeID, _ report: inout PassReport) -> Bool {
    let node = graph[id]
    for (gate, up) in [(node.operands[0], node.operands[1]), (node.operands[1], node.operands[0])] {
      guard let (silu, _) = graph.producer(of: gate, as: Silu.self), graph.hasOneUse(gate),
        graph.producer(of: silu.operands[0], as: Linear.self) != nil, graph.producer(of: up, as: Linear.self) != nil
      else { continue }
      let projections = [silu.operands[0], up]
      if let reason = graph.obstacle(toMerging: projections) {
        report.declined("merged gate and up", by: name, because: reason)
        continue
      }
      let merged = graph.merge(projections)
      guard graph.replace(id, with: SwiGLU(), [merged]) else { continue }
      report.made("merged gate and up", by: name)
      return true
    }
    return false
  }
}

extension Graph {
  /// The result of the `linear` that a value comes from through operators that only move, rotate or normalize heads.
  func projection(of value: ValueID) -> ValueID? {
    guard let id = producer(of: value) else { return nil }
    let node = self[id]
    switch node.op {
    case is Linear: return value
    case is Reshape, is Transpose, is RotaryEmbedding, is RMSNorm, is Cast: return projection(of: node.operands[0])
    // A cache in front of what is new.
    case is Concat where node.operands.count == 2 && producer(of: node.operands[0]) == nil:
      return projection(of: node.operands[1])
    default: return nil
    }
  }

  /// Why these results of `linear` cannot come from one; nil when they can.
  func obstacle(toMerging projections: [ValueID]) -> String? {
    let nodes = projections.compactMap { producer(of: $0, as: Linear.self) }
    guard nodes.count == projections.count else { return "a projection is not linear" }
    let first = nodes[0].node
    if nodes.contains(where: { $0.node.operands[0] != first.operands[0] }) {
      return "the projections read different values"
    }
    if nodes.contains(where: { $0.op.activation != .none }) { return "a projection has an activation" }
    if nodes.contains(where: { $0.node.operands.count != first.operands.count }) {
      return "some projections have a bias, others none"
    }
    for k in 1..<first.operands.count
    where nodes.contains(where: { type(of: $0.node.operands[k]).dtype != type(of: first.operands[k]).dtype }) {
      return "the weights have different types"
    }
    if projections.contains(where: { !hasOneUse($0) }) { return "a projection is used elsewhere" }
    return nil
  }

  /// One `linear` with the weights, and biases, of all one after the other.
  mutating func merge(_ projections: [ValueID]) -> ValueID {
    let nodes = projections.compactMap { producer(of: $0, as: Linear.self)?.node }
    let parameters = (1..<nodes[0].operands.count).map { k in insert(Concat(axis: 0), nodes.map { $0.operands[k] }) }
    return insert(Linear(), [nodes[0].operands[0]] + parameters, name: nodes[0].name)
  }
}
