public import IR
import Tensors

/// Evaluates what depends on small constants alone. Never touches a weight, and makes nothing large.
public struct FoldConstants: GraphPass {
  public let name = "fold-constants"
  /// No constant of more elements is made.
  public static let maximumElementCount = 4096
  public init() {}

  public func run(on graph: inout Graph, report _: inout PassReport) throws -> Bool {
    var changed = false
    for id in graph.nodeIDs {
      let node = graph[id]
      if dissolve(node, id, &graph) {
        changed = true
        continue
      }
      guard !node.operands.isEmpty || !(node.op is Constant), !Swift.type(of: node.op).schema.traits.contains(.weight),
        let tensors = operandConstants(node, graph),
        node.results.allSatisfy({
          graph.type(of: $0).shape.flatMap(Tensor.elementCount(of:)).map { $0 <= FoldConstants.maximumElementCount }
            ?? false
        }),
        let results = try? node.op.evaluate(tensors)
      else { continue }
      for (old, tensor) in zip(node.results, results) {
        graph.replaceUses(of: old, with: graph.insert(Constant(tensor), [], name: node.name))
      }
      changed = true
    }
    return changed
  }

  /// The operands' values when all are constants.
  private func operandConstants(_ node: Node, _ graph: Graph) -> [Tensor]? {
    if node.operands.isEmpty { return node.op is Constant ? nil : [] }
    var tensors: [Tensor] = []
    for operand in node.operands {
      guard let (_, op) = graph.producer(of: operand, as: Constant.self) else { return nil }
      tensors.append(op.value.tensor)
    }
    return tensors
  }

  /// Removes a node that changes nothing: a cast to the same type, a transpose or reshape of nothing, a pair that
  /// cancels.
  private func dissolve(_ node: Node, _ id: NodeID, _ graph: inout Graph) -> Bool {
    guard node.results.count == 1, let source = node.operands.first,
      !graph.users(of: node.results[0]).isEmpty || graph.isRoot(node.results[0])
    else { return false }
    let result = node.results[0]
    switch node.op {
    case let op as Transpose:
      if op.permutation == Array(op.permutation.indices) {
        graph.replaceUses(of: result, with: source)
        return true
      }
      guard let (inner, innerOp) = graph.producer(of: source, as: Transpose.self) else { return false }
      let joined = op.permutation.map { innerOp.permutation[$0] }
      if joined == Array(joined.indices) {
        graph.replaceUses(of: result, with: inner.operands[0])
        return true
      }
      return graph.replace(id, with: Transpose(permutation: joined), inner.operands)
    case is Cast, is Reshape, is Expand:
      guard graph.type(of: source) == graph.type(of: result) else { return false }
      graph.replaceUses(of: result, with: source)
      return true
    default: return false
    }
  }
}
