public import IR
internal import Tensors

/// The values between the layers of a decoder, as outputs that the graph does not have.
public enum LayerOutputs {
  /// What the names of these outputs start with; the number of the layer follows.
  private static let prefix = "bessemer.layer."

  /// Adds an output for what each layer gives, [batch, sequence, hidden], and answers with their names, in order; with
  /// none where layers are not told apart.
  ///
  /// Layers are known by the names of nodes, `model.layers.3.`: what the first node of a layer reads is what the layer
  /// before gave, and what the first node behind them all reads, what the last one gave.
  public static func add(to graph: inout Graph) -> [String] {
    var isParameter = [Bool](repeating: false, count: graph.valueCount)
    var between: [ValueID] = []
    var last: Int?
    for id in graph.nodeIDs {
      let node = graph[id]
      let isOwn =
        node.op is Weight || node.op is Constant
        || !node.operands.isEmpty && node.operands.allSatisfy { isParameter[$0.ordinal] }
      for result in node.results { isParameter[result.ordinal] = isOwn }
      guard !isOwn, !node.name.isEmpty else { continue }
      let number = layer(node.name)
      guard number == (last ?? -1) + 1 || number == nil && last != nil else { continue }
      let source = node.operands.first { value in
        let type = graph.type(of: value)
        return !isParameter[value.ordinal] && type.rank == 3 && type.dtype.isFloat && type.dims[2].value != nil
          && between.allSatisfy { graph.type(of: $0).dims == type.dims }
      }
      guard let source else { continue }
      between.append(source)
      guard number != nil else { break }
      last = number
    }
    guard let last, between.count == last + 2 else { return [] }
    return between.dropFirst().enumerated().map { number, value in
      let name = prefix + String(number)
      graph.addOutput(name, value)
      return name
    }
  }

  /// The number behind `layers.` in a node's name.
  private static func layer(_ name: String) -> Int? {
    let parts = name.split(separator: ".")
    guard let place = parts.firstIndex(where: { $0 == "layers" || $0 == "h" || $0 == "layer" }),
      place + 1 < parts.count
    else { return nil }
    return Int(parts[place + 1])
  }
}
