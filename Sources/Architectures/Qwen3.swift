import IR
import Tensors

/// Qwen3: like Llama, with a norm of each head of queries and keys, and heads of any size.
///
/// Source: `modeling_qwen3.py` of transformers.
enum Qwen3: Architecture {
  static let modelTypes = ["qwen3"]

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
    var attentionBias: Bool?
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
    let sizes = try DecoderSizes(c, maximumPositions: 32768, epsilon: 1e-6, headSize: 128)
    let window = try SlidingWindow(
      use: c.useSlidingWindow, size: c.slidingWindow, first: c.maxWindowLayers, types: c.layerTypes,
      layers: sizes.layers)
    let decoder = try Decoder(sizes, rotary: RotaryParameters(c, sizes.maximumPositions), window: window.size, &b)
    let bias = c.attentionBias ?? false
    try decoder.preNormModel(tied: c.tieWordEmbeddings ?? false, &b) { x, prefix, layer, b in
      try decoder.attention(
        x, prefix: prefix, layer: layer, inputBias: bias, outputBias: bias, headNorm: true,
        windowed: window.covers(layer), &b)
    } feedForward: { x, prefix, _, b in
      try b.gatedFeedForward(
        x, prefix, hidden: sizes.hiddenSize, inner: sizes.intermediateSize, activation: c.hiddenAct)
    }
  }
}
