public import IR
public import Tensors

/// Where a layer's attention keeps keys and values.
public struct AttentionCache: Sendable {
  /// The linear layers that make them.
  public let keyModule: String
  public let valueModule: String
  /// What is cached: [batch, heads, sequence, depth].
  public let keys: ValueID
  public let values: ValueID
  public let heads: Int
  public let depth: Int
  /// Whose rows or elements scale the channels of keys and queries: weights of norms over a head, or of linear layers
  /// with their biases.
  public let keyScale: Scale
  public let queryScale: Scale?

  public enum Scale: Sendable {
    case norm(TensorName)
    case linear(TensorName, bias: TensorName?)
  }

  /// The module that has both, `model.layers.0.self_attn`.
  public var attention: String { String(keyModule.split(separator: ".").dropLast().joined(separator: ".")) }
}

/// Finds attention's caches in a graph whose states were left out.
public struct AttentionCacheFinder {
  let graph: Graph
  let finder: LinearFinder
  private let byOutput: [ValueID: LinearSite]

  public init(_ graph: Graph) {
    self.graph = graph
    finder = LinearFinder(graph)
    byOutput = LinearFinder.byOutput(finder.sites())
  }

  /// - Parameter cached: the values that are cached, a layer's keys before its values.
  public func caches(_ cached: [ValueID]) -> [AttentionCache] {
    stride(from: 0, to: cached.count - cached.count % 2, by: 2).compactMap { index in
      let (keys, values) = (cached[index], cached[index + 1])
      let dims = graph.type(of: keys).dims
      guard dims.count == 4, case .known(let heads) = dims[1], case .known(let depth) = dims[3],
        let key = origin(keys), let value = origin(values)
      else { return nil }
      return AttentionCache(
        keyModule: key.site.layer.module, valueModule: value.site.layer.module, keys: keys, values: values,
        heads: heads, depth: depth, keyScale: key.scale, queryScale: queries(keys).flatMap { origin($0)?.scale })
    }
  }

  /// What made the heads: back through rotation and changes of shape to a linear layer, and a norm between.
  func origin(_ value: ValueID) -> (site: LinearSite, scale: AttentionCache.Scale)? {
    var value = value
    var norm: TensorName?
    for _ in 0..<64 {
      if let site = byOutput[value] {
        return (site, norm.map { .norm($0) } ?? .linear(site.layer.weight, bias: site.bias))
      }
      guard let id = graph.producer(of: value) else { return nil }
      let node = graph[id]
      if node.op is Multiply, let place = node.operands.firstIndex(where: { finder.weight($0)?.shape.count == 1 }) {
        norm = norm ?? finder.weight(node.operands[place])?.name
        value = node.operands[1 - place]
        continue
      }
      guard let next = node.operands.first else { return nil }
      value = next
    }
    return nil
  }

  /// The queries that are held against these keys.
  func queries(_ keys: ValueID) -> ValueID? {
    var open = [keys]
    var seen: Set<ValueID> = [keys]
    while let value = open.popLast(), seen.count < 32 {
      for user in graph.users(of: value) {
        let node = graph[user]
        if node.op is MatMul, node.operands[1] == value { return node.operands[0] }
        guard node.op is Reshape || node.op is Expand || node.op is Unsqueeze || node.op is Transpose else { continue }
        if seen.insert(node.results[0]).inserted { open.append(node.results[0]) }
      }
    }
    return nil
  }
}
