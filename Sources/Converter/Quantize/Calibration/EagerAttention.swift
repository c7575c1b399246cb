import IR
import Tensors

/// Writes attention out in the single steps that PyTorch takes where a program asks for them, each rounded to the type
/// of the queries: scores, scaled scores, weights and sums.
enum EagerAttention {
  static func run(on graph: inout Graph) throws {
    for id in graph.nodeIDs {
      let node = graph[id]
      guard let op = node.op as? Attention, !op.causal,
        graph.type(of: node.operands[0]).dims[1] == graph.type(of: node.operands[1]).dims[1]
      else { continue }
      try expand(node, op.scale, in: &graph)
    }
    graph.eraseDeadNodes()
    graph.sortTopologically()
  }

  private static func expand(_ node: Node, _ scale: Double, in graph: inout Graph) throws {
    let dtype = graph.type(of: node.results[0]).dtype
    func add(_ op: any Op, _ operands: ValueID...) throws -> ValueID { try graph.add(op, operands, name: node.name)[0] }
    func cast(_ value: ValueID, _ dtype: DType) throws -> ValueID {
      graph.type(of: value).dtype == dtype ? value : try add(Cast(to: dtype), value)
    }
    let (q, k, v) = (node.operands[0], node.operands[1], node.operands[2])
    let exact = ExactScales.exact(scale, depth: graph.type(of: q).dims[3])
    let product = try cast(add(MatMul(), q, add(Transpose(permutation: [0, 1, 3, 2]), k)), .float32)
    var scores = try add(Multiply(), product, add(Constant(Tensor(.float32, shape: [], doubles: [exact]))))
    scores = try cast(scores, dtype)
    if node.operands.count > 3 {
      let mask = node.operands[3]
      if graph.type(of: mask).dtype == .bool {
        scores = try add(Where(), mask, scores, add(Constant(Tensor(dtype, shape: [], doubles: [-.infinity]))))
      } else {
        scores = try add(Add(), scores, cast(mask, dtype))
      }
    }
    graph.replaceUses(of: node.results[0], with: try add(MatMul(), add(Softmax(axis: -1), scores), v))
  }
}
