import IR
import Quantization
import Tensors

/// Writes attention on 16-bit values out as PyTorch computes it on a CPU: scores and sums in float32, the weights
/// before they are divided by their sum in 16 bits, see ``AttentionWeights``.
enum ExpandAttention {
  static func run(on graph: inout Graph) throws {
    for id in graph.nodeIDs {
      let node = graph[id]
      guard let op = node.op as? Attention, !op.causal else { continue }
      let scale = exactScale(op.scale, depth: graph.type(of: node.operands[0]).dims[3])
      if graph.type(of: node.results[0]).dtype.isHalf {
        try expand(node, scale: scale, in: &graph)
      } else if scale != op.scale {
        _ = graph.replace(id, with: Attention(scale: scale), node.operands)
      }
    }
    graph.eraseDeadNodes()
    graph.sortTopologically()
  }

  private static func expand(_ node: Node, scale: Double, in graph: inout Graph) throws {
    let dtype = graph.type(of: node.results[0]).dtype
    guard case .known(let heads) = graph.type(of: node.operands[0]).dims[1],
      case .known(let shared) = graph.type(of: node.operands[1]).dims[1]
    else { return }
    func add(_ op: any Op, _ operands: ValueID...) throws -> ValueID { try graph.add(op, operands, name: node.name)[0] }
    func wide(_ value: ValueID) throws -> ValueID {
      graph.type(of: value).dtype == .float32 ? value : try add(Cast(to: .float32), value)
    }
    /// Each head of keys or values as often as query heads read it.
    func repeated(_ value: ValueID) throws -> ValueID {
      guard heads != shared else { return value }
      guard case .known(let depth) = graph.type(of: value).dims[3] else { return value }
      let more = try add(Expand(shape: [0, 0, heads / shared, 0, 0]), add(Unsqueeze(axis: 2), value))
      return try add(Reshape(shape: [0, heads, -1, depth]), more)
    }
    let q = try wide(node.operands[0])
    let k = try wide(repeated(node.operands[1]))
    let v = try wide(repeated(node.operands[2]))
    let product = try add(MatMul(), q, add(Transpose(permutation: [0, 1, 3, 2]), k))
    var scores = try add(Multiply(), product, add(Constant(Tensor(.float32, shape: [], doubles: [scale]))))
    if node.operands.count > 3 {
      let mask = node.operands[3]
      if graph.type(of: mask).dtype == .bool {
        let lowest = try add(Constant(Tensor(.float32, shape: [], doubles: [-.infinity])))
        scores = try add(Where(), mask, scores, lowest)
      } else {
        scores = try add(Add(), scores, wide(mask))
      }
    }
    let weights = try graph.add(AttentionWeights(to: dtype), [scores], name: node.name)
    let result = try add(Multiply(), add(MatMul(), weights[0], v), weights[1])
    graph.replaceUses(of: node.results[0], with: try add(Cast(to: dtype), result))
  }
  /// A graph of 16 bits has the scale rounded, PyTorch as it is.
  static func exactScale(_ scale: Double, depth: Dim) -> Double {
    guard case .known(let depth) = depth else { return scale }
    let exact = 1 / Double(depth).squareRoot()
    return [DType.bfloat16, .float16].contains { Float(exact).rounded(to: $0) == Float(scale) } ? exact : scale
  }
}
