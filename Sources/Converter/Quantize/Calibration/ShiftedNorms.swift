import IR
import Quantization
import Tensors

/// Gives norms, and the linear layers that read them, biases of zeros where they have none, so that the middle of each
/// channel's range can move from the one to the other. The biases of norms are float32.
enum ShiftedNorms {
  static func prepare(_ model: LoadedModel, _ smoothing: QuantizationRecipe.Smoothing) throws -> LoadedModel {
    var (graph, weights) = (model.graph, model.weights)
    let sites = LinearFinder(graph).sites()
    /// A value plus a new bias takes its place.
    func add(_ name: TensorName, _ dtype: DType, to value: ValueID) throws {
      let type = graph.type(of: value)
      guard case .known(let width)? = type.dims.last else { return }
      try weights.append(name, Tensor([Float](repeating: 0, count: width), shape: [width]).cast(to: dtype))
      let bias = try graph.add(Weight(name, dtype, shape: [width]))[0]
      guard type.dtype != dtype else {
        let sum = try graph.add(Add(), [value, bias])[0]
        graph.replaceUses(of: value, with: sum)
        if let node = graph.producer(of: sum) { _ = graph.replace(node, with: Add(), [value, bias]) }
        return
      }
      let first = try graph.add(Cast(to: dtype), [value])[0]
      let sum = try graph.add(Cast(to: type.dtype), graph.add(Add(), [first, bias]))[0]
      graph.replaceUses(of: value, with: sum)
      if let node = graph.producer(of: first) { _ = graph.replace(node, with: Cast(to: dtype), [value]) }
    }
    for subgraph in SubgraphFinder(graph).subgraphs()
    where try smoothing.takes(subgraph) && subgraph.kind == .normLinear {
      if subgraph.sourceBias == nil {
        try add(TensorName(subgraph.source + ".bias"), .float32, to: subgraph.value)
      }
      for reader in subgraph.readers {
        guard let site = sites.first(where: { $0.layer.weight == reader.weight }), site.bias == nil,
          let output = site.output
        else { continue }
        try add(TensorName(reader.module + ".bias"), graph.type(of: output).dtype, to: output)
      }
    }
    graph.sortTopologically()
    return model.with(graph, weights)
  }
}

extension QuantizationRecipe.Smoothing {
  /// Whether a subgraph is smoothed.
  func takes(_ subgraph: Subgraph) throws -> Bool {
    guard kinds.contains(subgraph.kind),
      subgraph.readers.allSatisfy({ $0.role != .head && readers?.contains($0.module) ?? true }),
      try selection.contains(subgraph.source),
      try sources?.contains(where: { try $0.matches(subgraph.source) }) ?? true
    else { return false }
    guard takesExperts || subgraph.readers.allSatisfy({ $0.role == .projection }) else { return false }
    guard let v0 else { return true }
    return subgraph.readers.allSatisfy { $0.role == .projection && !v0.excludedReaders.contains($0.module) }
  }
}
