import Tensors

/// Which layers see no further back than a window, as the config.json of Qwen2 and Qwen3 says.
struct SlidingWindow {
  /// How many keys a query of these layers sees, its own included; nil when every layer sees all.
  let size: Int?
  private let first: Int
  private let types: [Bool]?

  /// - Parameters:
  ///   - size: `sliding_window`, which means nothing unless `use_sliding_window` holds.
  ///   - first: `max_window_layers`, the first layer with a window when `types` says nothing.
  ///   - types: `layer_types`, a word for each layer.
  init(use: Bool?, size: Int?, first: Int?, types: [String]?, layers: Int) throws {
    let size = use ?? false ? size : nil
    if let size { try checkSizes([("sliding_window", size)]) }
    self.first = first ?? 28
    self.types = try types?.map { word in
      switch word {
      case "full_attention": return false
      case "sliding_attention":
        guard size != nil else { throw BessemerError(.config, "layer_types asks for a window that is not given") }
        return true
      default: throw BessemerError(.unsupportedFeature, "layer_types says \(quoted(word)), which is not supported")
      }
    }
    if let types, types.count != layers {
      throw BessemerError(.config, "layer_types has \(types.count) entries for \(layers) layers")
    }
    self.size = self.types?.contains(true) ?? (self.first < layers) ? size : nil
  }

  /// Whether a layer sees no further back than the window.
  func covers(_ layer: Int) -> Bool { size != nil && (types?[layer] ?? (layer >= first)) }
}
