public import IR
public import Tensors

/// The sum that runs through all layers: which tables and layers write it, and which values are read from it.
public struct ResidualStream {
  public private(set) var tables: [TensorName] = []
  /// Weights and biases.
  public private(set) var writers: [TensorName] = []
  /// Values of norms, as linear layers read them.
  public private(set) var reads: [ValueID] = []
  public private(set) var width = 0

  /// Throws ``ErrorCode/unsupportedFeature`` when it is written or read in a way that no rotation goes with.
  public init(_ graph: Graph) throws {
    let finder = LinearFinder(graph)
    let sites = finder.sites()
    let outputs = LinearFinder.byOutput(sites)
    let experts = Dictionary(grouping: sites.filter { $0.expertPart == 2 }, by: \.node)
    guard
      let table = graph.nodeIDs.first(where: { graph[$0].op is Gather && finder.weight(graph[$0].operands[0]) != nil }),
      let weight = finder.weight(graph[table].operands[0]), weight.shape.count == 2
    else { throw ResidualStream.refusal("it does not begin with a table") }
    width = weight.shape[1]
    tables = [weight.name]
    var stream: Set<ValueID> = [graph[table].results[0]]
    var found: Set<TensorName> = []

    /// Notes the layers that a term of the sum comes from.
    func term(_ value: ValueID) throws {
      if let site = outputs[value] {
        for name in [site.layer.weight] + (site.bias.map { [$0] } ?? []) where found.insert(name).inserted {
          writers.append(name)
        }
        return
      }
      guard let id = graph.producer(of: value) else { throw ResidualStream.refusal("something else is added to it") }
      let node = graph[id]
      switch node.op {
      case is Cast, is Reshape: try term(node.operands[0])
      case is Add: for operand in node.operands { try term(operand) }
      case is Multiply:
        // One factor is the same for all channels.
        guard let side = node.operands.firstIndex(where: { graph.type(of: $0).dims.last != .known(width) }) else {
          throw ResidualStream.refusal("what is added to it is scaled by channel")
        }
        try term(node.operands[1 - side])
      case is MixtureOfExperts:
        for site in experts[id] ?? [] where found.insert(site.layer.weight).inserted {
          writers.append(site.layer.weight)
        }
      default: throw ResidualStream.refusal("what is added to it passes through \(type(of: node.op).schema.name)")
      }
    }

    let inputs = Set(sites.map(\.input))
    var normalized: Set<ValueID> = []
    for id in graph.nodeIDs {
      let node = graph[id]
      let from = node.operands.filter { stream.contains($0) }
      guard !from.isEmpty else {
        // What norms make of it, up to where linear layers read it.
        if node.operands.contains(where: normalized.contains), let result = node.results.first {
          if inputs.contains(result) { reads.append(result) } else { normalized.insert(result) }
        }
        continue
      }
      let other = node.operands.first { !stream.contains($0) }
      if node.op is Add, let other, graph.type(of: other).dims.last == .known(width) {
        try term(other)
        stream.insert(node.results[0])
      } else if node.op is Cast, node.results[0] != node.operands[0], graph.type(of: node.results[0]).dtype.bits >= 16 {
        stream.insert(node.results[0])
      } else if let result = node.results.first {
        normalized.insert(result)
      }
    }
  }

  private static func refusal(_ reason: String) -> BessemerError {
    BessemerError(.unsupportedFeature, "the residual stream cannot be rotated, perhaps the heads alone: \(reason)")
  }
}
