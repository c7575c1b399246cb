import IR
import Quantization
import Tensors

/// A tensor of a package that no tensor of the model stands for.
struct QuantizedExtra: Sendable {
  private enum Content: Sendable {
    case cacheScales(module: String)
    case cacheOffsets(module: String)
    case attentionScales(operand: String)
    case copy(TensorName)
    case zeros
  }

  let name: TensorName
  let shape: [Int]
  let dtype: DType
  let type: String
  private let content: Content

  /// All that a recipe leads to.
  static func all(_ recipe: QuantizationRecipe, _ model: LoadedModel, isCompatible: Bool) throws -> [QuantizedExtra] {
    var extras: [QuantizedExtra] = []
    for (number, step) in recipe.steps.enumerated() {
      switch step {
      case .quantizeCache(let cache):
        let graph = try CalibrationGraph(model.graph)
        let caches = AttentionCacheFinder(graph.graph).caches(graph.cached)
        guard !caches.isEmpty else {
          throw BessemerError(.unsupportedFeature, "the model has no cache of keys and values of its own heads")
        }
        for (place, found) in caches.enumerated() where try cache.selection.contains(found.attention) {
          for module in [found.keyModule, found.valueModule] {
            let shape = [found.heads * found.depth]
            let isNarrow = cache.isV0 || isCompatible && !recipe.widensCaches(beforeStep: number, layer: place)
            let dtype = isNarrow ? graph.graph.type(of: found.keys).dtype : .float32
            extras += [
              QuantizedExtra(
                name: TensorName(module + ".kv_cache_scale"), shape: shape, dtype: dtype, type: AscendV1.cache,
                content: .cacheScales(module: module)),
              QuantizedExtra(
                name: TensorName(module + ".kv_cache_offset"), shape: shape, dtype: dtype, type: AscendV1.cache,
                content: .cacheOffsets(module: module)),
            ]
          }
        }
      case .quantizeAttention(let step): extras += try attention(step, model)
      case .smooth(let smoothing) where smoothing.v0 != nil && smoothing.addsBias && isCompatible:
        // All norms, smoothed or not.
        for entry in model.weights.entries where entry.shape.count == 1 && entry.name.string.hasSuffix("norm.weight") {
          let name = TensorName(entry.name.string.dropLast(6) + "bias")
          guard model.weights[name] == nil else { continue }
          extras.append(
            QuantizedExtra(name: name, shape: entry.shape, dtype: .float32, type: AscendV1.float, content: .zeros))
        }
      case .smooth(let smoothing) where smoothing.addsBias && isCompatible:
        for subgraph in SubgraphFinder(model.graph).subgraphs()
        where try subgraph.kind == .normLinear && subgraph.sourceBias == nil && smoothing.takes(subgraph) {
          guard let norm = model.weights[subgraph.sourceWeight] else { continue }
          extras.append(
            QuantizedExtra(
              name: TensorName(subgraph.source + ".bias"), shape: norm.shape, dtype: .float32,
              type: AscendV1.float, content: .zeros))
        }
      default: break
      }
    }
    return isCompatible && !recipe.isV0 ? extras + tiedHead(model) : extras
  }

  /// msModelSlim writes a head that is the table of embeddings once more.
  private static func tiedHead(_ model: LoadedModel) -> [QuantizedExtra] {
    let name: TensorName = "lm_head.weight"
    guard model.weights[name] == nil,
      let head = LinearFinder(model.graph).sites().first(where: { $0.layer.role == .head })?.layer.weight,
      let table = model.weights[head]
    else { return [] }
    return [
      QuantizedExtra(
        name: name, shape: table.shape, dtype: table.dtype, type: AscendV1.float, content: .copy(head))
    ]
  }

  /// The attentions that a step quantizes.
  ///
  /// Throws ``ErrorCode/unsupportedFeature`` when the model has none that could be.
  static func chosen(_ step: QuantizationRecipe.Attention, _ model: LoadedModel) throws -> [LatentAttention] {
    let graph = try CalibrationGraph(model.graph)
    let all = AttentionCacheFinder(graph.graph).latent(graph.cached)
    guard !all.isEmpty else {
      throw BessemerError(
        .unsupportedFeature,
        "\(quoted(model.modelType)) has no attention on latent vectors, which fa3_quant is for here; leave the step out"
      )
    }
    return try all.filter { try step.selection.contains($0.module) }
  }

  private static func attention(
    _ step: QuantizationRecipe.Attention, _ model: LoadedModel
  ) throws -> [QuantizedExtra] {
    try chosen(step, model).flatMap { found in
      AttentionOperand.allCases.flatMap { operand -> [QuantizedExtra] in
        guard let format = step.formats[operand], format.needsRange else { return [] }
        let name = "\(found.module).\(operand.rawValue)"
        let shape = [operand == .queries ? found.heads : 1, 1]
        return [
          QuantizedExtra(
            name: TensorName(name + ".scale"), shape: shape, dtype: .float32, type: AscendV1.attention,
            content: .attentionScales(operand: name)),
          QuantizedExtra(
            name: TensorName(name + ".offset"), shape: shape, dtype: format.offsetType, type: AscendV1.attention,
            content: .zeros),
        ]
      }
    }
  }

  /// The tensor, as soon as it is known; nil while it is not.
  func bytes(_ weights: PreparedWeights) throws -> Bytes? {
    func floats(_ values: [Float]) throws -> Bytes {
      try Tensor(values, shape: [values.count]).cast(to: dtype).bytes
    }
    switch content {
    case .copy(let name): return try weights[name]?.tensor().bytes
    case .zeros: return try floats([Float](repeating: 0, count: shape.reduce(1, *)))
    case .cacheScales(let module): return try weights.cacheGrids[module].map { try floats($0.map(\.scale)) }
    case .attentionScales(let operand): return try weights.attentionScales[operand].map(floats)
    case .cacheOffsets(let module): return try weights.cacheGrids[module].map { try floats($0.map(\.offset)) }
    }
  }
}
