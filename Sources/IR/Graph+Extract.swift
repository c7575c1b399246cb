public import Tensors

extension Graph {
  /// What a node becomes in another graph: the values of its results there, or nil to be added as it is.
  public typealias NodeRewrite = (_ graph: inout Graph, _ node: Node, _ operands: [ValueID]) throws -> [ValueID]?

  /// The part of the graph that computes `outputs` from `inputs`, types inferred anew. Parameters are taken along.
  ///
  /// - Parameters:
  ///   - inputs: where the part begins: values of this graph, with the name, type and default of the new input.
  ///   - outputs: values of this graph and their new names.
  /// - Throws: ``ErrorCode/graph`` when an output depends on an input or state of this graph that is not among
  ///   `inputs`.
  public func extracted(
    name: String, inputs: [(value: ValueID, input: String, type: TensorType, initial: InputDefault?)],
    outputs: [(value: ValueID, output: String)], rewrite: NodeRewrite = { _, _, _ in nil }
  ) throws -> Graph {
    var result = Graph(name: name)
    var places: [ValueID: ValueID] = [:]
    for (value, input, type, initial) in inputs { places[value] = result.addInput(input, type, initial: initial) }
    var needed: Set<NodeID> = []
    var open = outputs.map(\.value)
    while let value = open.popLast() {
      guard places[value] == nil, let id = producer(of: value), needed.insert(id).inserted else { continue }
      open += self[id].operands
    }
    for id in nodeIDs where needed.contains(id) {
      let node = self[id]
      // What a rewrite leaves out, such as a state, has no place.
      let operands = node.operands.map { places[$0] }
      let known = operands.compactMap { $0 }
      var results = try rewrite(&result, node, known)
      if results == nil {
        guard known.count == operands.count else {
          throw BessemerError(
            .graph, "\(Swift.type(of: node.op).schema.name) \(quoted(node.name)) needs more than the part")
        }
        results = try result.add(node.op, known, name: node.name)
      }
      for (old, new) in zip(node.results, results ?? []) { places[old] = new }
    }
    for (value, output) in outputs {
      guard let place = places[value] else { throw BessemerError(.graph, "\(quoted(output)) does not follow") }
      result.addOutput(output, place)
    }
    return result
  }
}

extension TensorType {
  /// The same type where a symbol stands for zero.
  public func withoutSymbol(_ name: String) -> TensorType { TensorType(dtype, dims.map { $0.withoutSymbol(name) }) }
}

extension Dim {
  /// The same dimension where a symbol stands for zero.
  func withoutSymbol(_ name: String) -> Dim {
    guard case .symbol(let text) = self else { return self }
    let terms = text.split(separator: "+").filter { term in !term.split(separator: "*").contains { $0 == name } }
    return terms.reduce(.known(0)) { $0 + (Int($1).map { .known($0) } ?? .symbol(String($1))) }
  }
}
