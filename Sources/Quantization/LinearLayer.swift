public import IR
public import Tensors

/// A linear layer of a model: what quantization is about.
public struct LinearLayer: Sendable, Equatable {
  public enum Role: String, Sendable {
    /// One of the many of attention or of a feed-forward.
    case projection
    /// A matrix of a routed expert.
    case expert
    /// Decides which experts a token goes to.
    case router
    /// Makes an output of the model, or is the table of embeddings at the same time.
    case head
  }

  /// The name of the layer, `model.layers.0.mlp.up_proj`.
  public let module: String
  /// The name of its weight, [outputs, inputs].
  public let weight: TensorName
  public let role: Role

  /// Whether it is quantized when nothing else is said.
  public var isQuantizedByDefault: Bool { role == .projection || role == .expert }
}

/// Finds linear layers in a graph as it was built, before any pass.
public struct LinearFinder {
  let graph: Graph
  private let roots: Set<ValueID>

  public init(_ graph: Graph) {
    self.graph = graph
    roots = Set(graph.outputs.map(\.value))
  }

  /// All linear layers, in the graph's order, each once.
  public func layers() -> [LinearLayer] {
    var known: Set<TensorName> = []
    return sites().map(\.layer).filter { known.insert($0.weight).inserted }
  }

  /// The layer whose weight a value is, nil when it is none. A weight that is not transposed is [inputs, outputs],
  /// which no scheme stores.
  func layer(of value: ValueID, _ role: () -> LinearLayer.Role) -> LinearLayer? {
    guard let weight = weight(value), weight.shape.count == 2, weight.name.string.hasSuffix(".weight") else {
      return nil
    }
    return LinearLayer(module: String(weight.name.string.dropLast(7)), weight: weight.name, role: role())
  }

  /// The weight that a value is, but for its type and shape.
  func weight(_ value: ValueID) -> Weight? {
    var value = value
    while let id = graph.producer(of: value) {
      let node = graph[id]
      switch node.op {
      case let weight as Weight: return weight
      case is Cast, is Reshape: value = node.operands[0]
      default: return nil
      }
    }
    return nil
  }

  func role(_ weight: ValueID, _ product: ValueID) -> LinearLayer.Role {
    if isTable(weight) { return .head }
    // What follows, up to the next product; routers end in a choice, heads in an output.
    var (open, seen) = ([product], Set([product]))
    while let value = open.popLast(), seen.count < 64 {
      if roots.contains(value) { return .head }
      for id in graph.users(of: value) {
        let node = graph[id]
        if node.op is TopK { return .router }
        guard !(node.op is MatMul), !(node.op is MixtureOfExperts) else { continue }
        for result in node.results where seen.insert(result).inserted { open.append(result) }
      }
    }
    return .projection
  }

  /// Whether rows of the weight are looked up somewhere.
  private func isTable(_ weight: ValueID) -> Bool {
    var value = weight
    while true {
      if graph.users(of: value).contains(where: { graph[$0].op is Gather }) { return true }
      guard let id = graph.producer(of: value), let operand = graph[id].operands.first else { return false }
      value = operand
    }
  }
}
