import Tensors

/// What the config.json of every decoder with RMS norms and rotary embedding says.
protocol DecoderConfiguration: Decodable {
  var hiddenSize: Int { get }
  var intermediateSize: Int { get }
  var numHiddenLayers: Int { get }
  var numAttentionHeads: Int { get }
  var numKeyValueHeads: Int? { get }
  var headDim: Int? { get }
  var vocabSize: Int { get }
  var maxPositionEmbeddings: Int? { get }
  var rmsNormEps: Double? { get }
  var hiddenAct: String? { get }
  var tieWordEmbeddings: Bool? { get }
  var ropeTheta: Double? { get }
  var ropeParameters: RotaryParameters.Table? { get }
  var ropeScaling: RotaryParameters.Table? { get }
}

/// The sizes that every decoder has.
struct DecoderSizes {
  let hiddenSize: Int
  let intermediateSize: Int
  let layers: Int
  let heads: Int
  let keyValueHeads: Int
  let headSize: Int
  let vocabulary: Int
  let maximumPositions: Int
  let epsilon: Double

  /// - Throws: ``ErrorCode/config`` naming the first value that cannot be.
  func check() throws {
    try checkSizes([
      ("hidden_size", hiddenSize), ("intermediate_size", intermediateSize), ("num_hidden_layers", layers),
      ("num_attention_heads", heads), ("num_key_value_heads", keyValueHeads), ("head_dim", headSize),
      ("vocab_size", vocabulary),
      ("max_position_embeddings", maximumPositions),
    ])
    guard heads % keyValueHeads == 0 else {
      throw BessemerError(.config, "\(heads) attention heads cannot share \(keyValueHeads) key-value heads")
    }
    try checkEpsilon(epsilon, "the epsilon of norms")
  }

  /// The head size that follows from the others when config.json has no `head_dim`.
  static func headSize(_ explicit: Int?, hiddenSize: Int, heads: Int) throws -> Int {
    if let explicit { return explicit }
    guard heads > 0, hiddenSize % heads == 0 else {
      throw BessemerError(.config, "hidden_size \(hiddenSize) is not divisible by \(heads) attention heads")
    }
    return hiddenSize / heads
  }
}

extension DecoderSizes {
  /// What a configuration says, with what stands for positions, epsilon and the size of heads when it is silent.
  init(_ c: some DecoderConfiguration, maximumPositions: Int, epsilon: Double, headSize: Int? = nil) throws {
    hiddenSize = c.hiddenSize
    intermediateSize = c.intermediateSize
    layers = c.numHiddenLayers
    heads = c.numAttentionHeads
    keyValueHeads = c.numKeyValueHeads ?? c.numAttentionHeads
    self.headSize = try DecoderSizes.headSize(
      c.headDim ?? headSize, hiddenSize: c.hiddenSize, heads: c.numAttentionHeads)
    vocabulary = c.vocabSize
    self.maximumPositions = c.maxPositionEmbeddings ?? maximumPositions
    self.epsilon = c.rmsNormEps ?? epsilon
  }
}

/// No size of a model is larger than this.
let maximumModelSize = 1 << 31

/// Throws ``ErrorCode/config`` unless every value is a positive number of a sane size.
func checkSizes(_ sizes: [(name: String, value: Int)]) throws {
  for (name, value) in sizes where value <= 0 || value > maximumModelSize {
    throw BessemerError(.config, "\(name) is \(value), expected a positive number of at most \(maximumModelSize)")
  }
}

func checkEpsilon(_ value: Double, _ name: String) throws {
  guard value >= 0, value < 1 else {
    throw BessemerError(.config, "\(name) is \(value), expected a small positive number")
  }
}
