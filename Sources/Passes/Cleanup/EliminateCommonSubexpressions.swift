public import IR

/// Computes equal things once: nodes with equal operators, operands and result types become one.
public struct EliminateCommonSubexpressions: GraphPass {
  public let name = "eliminate-common-subexpressions"
  public init() {}

  private struct Key: Hashable {
    let op: OpKey
    let operands: [ValueID]
  }

  public func run(on graph: inout Graph, report _: inout PassReport) -> Bool {
    var seen: [Key: NodeID] = [:]
    seen.reserveCapacity(graph.nodeCount)
    var changed = false
    for id in graph.nodeIDs {
      let node = graph[id]
      let key = Key(op: OpKey(node.op), operands: node.operands)
      guard let first = seen.updateValue(id, forKey: key) else { continue }
      seen[key] = first
      for (old, new) in zip(node.results, graph[first].results) { graph.replaceUses(of: old, with: new) }
      changed = true
    }
    return changed
  }
}
