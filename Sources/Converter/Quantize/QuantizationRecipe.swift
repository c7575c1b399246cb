import Quantization
import Tensors

/// What is done to a model, step by step.
struct QuantizationRecipe: Sendable {
  /// Names by patterns.
  struct Selection: Sendable {
    /// Nil includes all.
    var include: [NamePattern]?
    var exclude: [NamePattern] = []
    /// The only names, if any are said.
    var modules: Set<String>?

    func contains(_ name: String) throws -> Bool {
      if try modules?.contains(name) == false || exclude.contains(where: { try $0.matches(name) }) { return false }
      return try include?.contains { try $0.matches(name) } ?? true
    }
  }

  /// How linear layers are quantized that no earlier step took.
  struct Linear: Sendable {
    var selection = Selection()
    var scheme: any LinearScheme
    var method = WeightMethod.minmax
    /// Whether heads and routers are taken too.
    var takesAll = false
    /// Whether routers are.
    var takesRouters = false
    /// How the range of inputs is found, for schemes that store it.
    var input = InputRange.minmax
    var isInputSymmetric = false
    /// Whether it is calibrated together with all others such, as recipes of `modelslim_v0` are.
    var isV0 = false

    /// Whether it looks at inputs of layers.
    var needsData: Bool { scheme.needsInputGrid || method.needsData }
  }

  /// How channels are scaled between weights.
  struct Smoothing: Sendable {
    enum Algorithm: Sendable {
      case scales(any SmoothingAlgorithm)
      /// With the scheme and method that the search rounds weights by.
      case awq(AWQ, any LinearScheme, WeightMethod)
    }

    var selection = Selection()
    /// Whether norms get a bias of zeros, as msModelSlim leaves them after SmoothQuant.
    var addsBias = false
    /// What is smoothed, in this order; each sees the weights that the ones before it left.
    var kinds = Subgraph.Kind.allCases
    /// Whether values that routers and experts read are smoothed too.
    var takesExperts = true
    /// The only modules that are divided; nil for all.
    var sources: [NamePattern]?
    /// The only layers for which inputs are smoothed; nil for all.
    var readers: Set<String>?
    var algorithm: Algorithm
    /// Nil but for recipes of `modelslim_v0`.
    var v0: SmoothingV0?
  }

  /// How `modelslim_v0` smooths: by what the model as it is shows of all layers.
  struct SmoothingV0: Sendable {
    /// Whether the middle of each channel's range moves from norms to the layers that read them, see ``ShiftedNorms``.
    var shifts = false
    /// Layers that stay as they are, with those that read the same value.
    var excludedReaders: Set<String> = []
  }

  /// How the cache of keys and values is quantized.
  struct Cache: Sendable {
    var selection = Selection()
    var isSymmetric = true
    /// Whether keys count as their layer makes them, before they are rotated, and no layer is quantized yet, as for
    /// recipes of `modelslim_v0`.
    var isV0 = false
  }

  /// How attention on latent vectors is quantized.
  struct Attention: Sendable {
    /// By the names of modules of attention.
    var selection = Selection()
    /// Operands that are not among them stay as they are.
    var formats: [AttentionOperand: AttentionFormat]
  }

  enum Step: Sendable {
    case quantize(Linear)
    case smooth(Smoothing)
    case rotate(Rotation)
    /// Moves the size of the keys' channels to the queries, to a power.
    case smoothKeys(Selection, power: Float)
    case quantizeCache(Cache)
    case quantizeAttention(Attention)
    /// Makes this share of each linear layer's weight zero.
    case sparsify(Selection, share: Double)
  }

  var steps: [Step]

  var rotation: Rotation? {
    for case .rotate(let rotation) in steps { return rotation }
    return nil
  }

  /// Whether it is one of `modelslim_v0`.
  var isV0: Bool {
    steps.contains { if case .quantize(let linear) = $0 { linear.isV0 } else { false } }
  }

  /// Whether a model of 16 bits has the keys and values of attention in float32 when a step looks at them in a layer,
  /// as it has behind quantized layers, see ``WideValues``: its own, if they were quantized before, or any before it.
  func widensCaches(beforeStep number: Int, layer: Int) -> Bool {
    steps.enumerated().contains { place, step in
      guard case .quantize(let linear) = step, !linear.isV0, case .whole = linear.scheme.grid else { return false }
      return place < number || layer > 0
    }
  }

  /// Whether calibration data is needed.
  var needsData: Bool { steps.contains(where: \.needsData) }

  /// Whether weights become others before they are quantized.
  var editsWeights: Bool {
    steps.contains { step in
      switch step {
      case .smooth, .rotate, .smoothKeys, .sparsify: true
      case .quantize, .quantizeAttention, .quantizeCache: false
      }
    }
  }
}
