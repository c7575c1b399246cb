import IR
import Tensors

/// GLM-4.5 and 4.6: partial rotary embedding over halves, optional norms of heads, experts routed as in DeepSeek-V3.
///
/// Source: `modeling_glm4_moe.py` of transformers.
enum Glm4MoE: Architecture {
  static let modelTypes = ["glm4_moe"]

  struct Configuration: SharedExpertConfiguration {
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
    var useQkNorm: Bool?
    var hiddenAct: String?
    var tieWordEmbeddings: Bool?
    var partialRotaryFactor: Double?
    var ropeTheta: Double?
    var ropeParameters: RotaryParameters.Table?
    var ropeScaling: RotaryParameters.Table?
    var moeIntermediateSize: Int
    var nRoutedExperts: Int
    var nSharedExperts: Int?
    var numExpertsPerTok: Int
    var nGroup: Int?
    var topkGroup: Int?
    var normTopkProb: Bool?
    var routedScalingFactor: Double?
    var firstKDenseReplace: Int?
    var numNextnPredictLayers: Int?
  }

  static func build(_ c: Configuration, _ b: inout GraphBuilder) throws {
    let sizes = try DecoderSizes(c, maximumPositions: 131072, epsilon: 1e-5)
    let rotary = try RotaryParameters(
      c, sizes.maximumPositions, partialFactor: c.partialRotaryFactor, defaultPartialFactor: 0.5)
    let experts = try SharedExperts(c, denseLayers: 1, scale: 1)
    let decoder = try Decoder(sizes, rotary: rotary, &b)
    b.ignoreLayers(after: sizes.layers, count: c.numNextnPredictLayers ?? 1)
    try decoder.preNormModel(tied: c.tieWordEmbeddings ?? false, &b) { x, prefix, layer, b in
      try decoder.attention(
        x, prefix: prefix, layer: layer, inputBias: c.attentionBias ?? false, outputBias: false,
        headNorm: c.useQkNorm ?? false, &b)
    } feedForward: { x, prefix, layer, b in
      try experts.feedForward(x, prefix, layer, sizes, &b)
    }
  }
}
