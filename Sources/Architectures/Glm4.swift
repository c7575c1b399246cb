import IR
import Tensors

/// GLM-4 (0414 series): grouped attention, partial interleaved rotary embedding, four norms a layer, fused gate and up
/// projection.
///
/// Source: `modeling_glm4.py` of transformers.
enum Glm4: Architecture {
  static let modelTypes = ["glm4"]

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
    var ropeTheta: Double?
    var partialRotaryFactor: Double?
    var ropeParameters: RotaryParameters.Table?
    var ropeScaling: RotaryParameters.Table?
  }

  static func build(_ c: Configuration, _ b: inout GraphBuilder) throws {
    let sizes = try DecoderSizes(c, maximumPositions: 131072, epsilon: 1.5625e-7)
    let rotary = try RotaryParameters(
      c, sizes.maximumPositions, partialFactor: c.partialRotaryFactor, defaultPartialFactor: 0.5)
    let decoder = try Decoder(sizes, rotary: rotary, interleaved: true, &b)
    let x = try decoder.sandwichNormLayers(
      "model", inputBias: c.attentionBias ?? false, activation: c.hiddenAct, &b)
    try b.languageHead(x, sizes, tied: c.tieWordEmbeddings ?? false)
  }
}
