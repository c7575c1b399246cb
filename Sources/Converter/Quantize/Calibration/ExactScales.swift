import IR
import Quantization
import Tensors

/// Gives attention the scale `1 / √depth` as it is where a graph of 16 bits has it rounded: frameworks take it in
/// float32 whatever the type of the values.
enum ExactScales {
  static func run(on graph: inout Graph) {
    for id in graph.nodeIDs {
      let node = graph[id]
      guard let op = node.op as? Attention else { continue }
      let scale = exact(op.scale, depth: graph.type(of: node.operands[0]).dims[3])
      guard scale != op.scale else { continue }
      _ = graph.replace(id, with: Attention(scale: scale, causal: op.causal), node.operands)
    }
    graph.eraseDeadNodes()
    graph.sortTopologically()
  }

  static func exact(_ scale: Double, depth: Dim) -> Double {
    guard case .known(let depth) = depth else { return scale }
    let exact = 1 / Double(depth).squareRoot()
    return [DType.bfloat16, .float16].contains { Float(exact).rounded(to: $0) == Float(scale) } ? exact : scale
  }
}
