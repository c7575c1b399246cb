import IR
import Tensors

/// Values that a model of 16 bits has in float32 while it is calibrated.
///
/// Once msModelSlim has quantized a layer, the layer widens what it multiplies, and PyTorch then computes all that
/// follows from its results in float32: what makes norms and attention return to the type of their inputs leaves it so.
struct WideValues {
  var values: Set<ValueID> = []
  /// Layers that are quantized.
  var nodes: Set<NodeID> = []

  /// The type that a value of the whole graph has.
  func type(of value: ValueID, _ graph: Graph) -> TensorType {
    let type = graph.type(of: value)
    return values.contains(value) && type.dtype.isHalf ? TensorType(.float32, type.dims) : type
  }

  /// Whether a node does not compute as it does in the whole graph.
  func takes(_ id: NodeID, _ node: Node) -> Bool {
    nodes.contains(id) || node.operands.contains(where: values.contains)
  }

  /// Adds a node of the whole graph, in float32 if it is taken.
  mutating func add(_ node: Node, _ id: NodeID, _ operands: [ValueID], to part: inout Graph) throws -> [ValueID] {
    guard takes(id, node) else { return try part.add(node.op, operands, name: node.name) }
    let wide = try operands.map { operand in
      part.type(of: operand).dtype.isHalf ? try part.add(Cast(to: .float32), [operand], name: node.name)[0] : operand
    }
    let op: any Op = if let cast = node.op as? Cast, cast.to.isHalf { Cast(to: .float32) } else { node.op }
    let results = try part.add(op, wide, name: node.name)
    for (old, new) in zip(node.results, results) where part.type(of: new).dtype.isFloat { values.insert(old) }
    return results
  }
}

extension DType {
  /// Whether it is a float of 16 bits.
  var isHalf: Bool { self == .bfloat16 || self == .float16 }
}
