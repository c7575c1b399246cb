import IR
import Tensors

/// Qwen2 and Qwen2.5: like Llama, with biases on queries, keys and values, and in some layers a sliding window.
///
/// Source: `modeling_qwen2.py` of transformers.
enum Qwen2: Architecture {
  static let modelTypes = ["qwen2"]

  struct Configuration: DecoderConfiguration {
    var hiddenSize: Int
    var intermediateSize: Int
    var numHiddenLayers: Int
    var numAttentionHeads: Int
    var numKeyValueHeads: Int?
    var headDim: Int?
    var vocabSize: Int
    var maxPositionEmbeddings: Int?
    var rmsNormEps: Double?
    var hiddenAct: String?
    var tieWordEmbeddings: Bool?
    var useSlidingWindow: Bool?
    var slidingWindow: Int?
    var maxWindowLayers: Int?
    var layerTypes: [String]?
    var ropeTheta: Double?
    var ropeParameters: RotaryParameters.Table?
    var ropeScaling: RotaryParameters.Table?
  }

  static func build(_ c: Configuration, _ b: inout GraphBuilder) throws {
    let sizes = try DecoderSizes(c, maximumPositions: 32768, epsilon: 1e-6)
    let window = try SlidingWindow(
      use: c.useSlidingWindow, size: c.slidingWindow, first: c.maxWindowLayers, types: c.layerTypes,
      layers: sizes.layers)
    let decoder = try Decoder(sizes, rotary: RotaryParameters(c, sizes.maximumPositions), window: window.size, &b)
    try decoder.preNormModel(tied: c.tieWordEmbeddings ?? false, &b) { x, prefix, layer, b in
      try decoder.attention(
        x, prefix: prefix, layer: layer, inputBias: true, outputBias: false, windowed: window.covers(layer), &b)
    } feedForward: { x, prefix, _, b in
      try b.gatedFeedForward(
        x, prefix, hidden: sizes.hiddenSize, inner: sizes.intermediateSize, activation: c.hiddenAct)
    }
  }
}
