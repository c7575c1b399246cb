import Quantization
import Tensors

/// A tensor of a package that no tensor of the model stands for.
struct QuantizedExtra: Sendable {
  private enum Content: Sendable {
    case cacheScales(module: String)
    case cacheOffsets(module: String)
    case zeros
  }

  let name: TensorName
  let shape: [Int]
  let type: String
  private let content: Content

  var dtype: DType { .float32 }

  /// All that a recipe leads to.
  static func all(_ recipe: QuantizationRecipe, _ model: LoadedModel, isCompatible: Bool) throws -> [QuantizedExtra] {
    var extras: [QuantizedExtra] = []
    for step in recipe.steps {
      switch step {
      case .quantizeCache(let cache):
        let graph = try CalibrationGraph(model.graph)
        let caches = AttentionCacheFinder(graph.graph).caches(graph.cached)
        guard !caches.isEmpty else {
          throw BessemerError(.unsupportedFeature, "the model has no cache of keys and values of its own heads")
        }
        for found in caches where try cache.selection.contains(found.attention) {
          for module in [found.keyModule, found.valueModule] {
            let shape = [found.heads * found.depth]
            extras += [
              QuantizedExtra(
                name: TensorName(module + ".kv_cache_scale"), shape: shape, type: AscendV1.cache,
                content: .cacheScales(module: module)),
              QuantizedExtra(
                name: TensorName(module + ".kv_cache_offset"), shape: shape, type: AscendV1.cache,
                content: .cacheOffsets(module: module)),
            ]
          }
        }
      case .smooth(let smoothing) where smoothing.addsBias && isCompatible:
        for subgraph in SubgraphFinder(model.graph).subgraphs()
        where try subgraph.kind == .normLinear && subgraph.sourceBias == nil
          && subgraph.readers.allSatisfy({ $0.role != .head }) && smoothing.selection.contains(subgraph.source)
        {
          guard let norm = model.weights[subgraph.sourceWeight] else { continue }
          extras.append(
            QuantizedExtra(
              name: TensorName(subgraph.source + ".bias"), shape: norm.shape, type: AscendV1.float, content: .zeros))
        }
      default: break
      }
    }
    return extras
  }

  /// The tensor, as soon as it is known; nil while it is not.
  func bytes(_ weights: PreparedWeights) throws -> Bytes? {
    func floats(_ values: [Float]) -> Bytes { values.withUnsafeBytes { Bytes($0) } }
    switch content {
    case .zeros: return floats([Float](repeating: 0, count: shape.reduce(1, *)))
    case .cacheScales(let module): return weights.cacheGrids[module].map { floats($0.map(\.scale)) }
    case .cacheOffsets(let module): return weights.cacheGrids[module].map { floats($0.map(\.offset)) }
    }
  }
}
