import IR
import Tensors

/// Llama 2, 3 and 3.x: grouped attention, rotary embedding over halves, gated feed-forward.
///
/// Source: `modeling_llama.py` of transformers.
enum Llama: Architecture {
  static let modelTypes = ["llama"]

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
    var mlpBias: Bool?
    var hiddenAct: String?
    var tieWordEmbeddings: Bool?
    var ropeTheta: Double?
    var ropeParameters: RotaryParameters.Table?
    var ropeScaling: RotaryParameters.Table?
  }

  static func build(_ c: Configuration, _ b: inout GraphBuilder) throws {
    let sizes = try DecoderSizes(c, maximumPositions: 2048, epsilon: 1e-6)
    let decoder = try Decoder(sizes, rotary: RotaryParameters(c, sizes.maximumPositions), &b)
    let bias = c.attentionBias ?? false
    try decoder.preNormModel(tied: c.tieWordEmbeddings ?? false, &b) { x, prefix, layer, b in
      try decoder.attention(x, prefix: prefix, layer: layer, inputBias: bias, outputBias: bias, &b)
    } feedForward: { x, prefix, _, b in
      try b.gatedFeedForward(
        x, prefix, hidden: sizes.hiddenSize, inner: sizes.intermediateSize, activation: c.hiddenAct,
        bias: c.mlpBias ?? false)
    }
  }
}
