public import IR
import Tensors

/// Computes the output `logits` for the last position alone: all that choosing the next token needs.
public struct KeepLastPosition: GraphPass {
  public let name = "keep-last-position"
  public init() {}

  public func run(on graph: inout Graph, report _: inout PassReport) -> Bool {
    guard let output = graph.outputs.first(where: { $0.name == "logits" }) else { return false }
    // From the output back to the projection, through what works on each position alone.
    var chain: [Node] = []
    var value = output.value
    while let id = graph.producer(of: value), graph[id].op is Linear || graph[id].op is Cast || graph[id].op is MatMul {
      chain.append(graph[id])
      value = graph[id].operands[0]
    }
    guard !chain.isEmpty, graph.type(of: value).rank == 3 else { return false }
    value = graph.insert(Slice(axis: 1, start: -1), [value])
    for node in chain.reversed() { value = graph.insert(node.op, [value] + node.operands.dropFirst(), name: node.name) }
    graph.setOutput(output.name, to: value)
    return true
  }
}
