import IR
import Tensors

/// Qwen3 with experts: attention as in Qwen3, in some layers experts chosen by a softmax over all.
///
/// Source: `modeling_qwen3_moe.py` of transformers.
enum Qwen3MoE: Architecture {
  static let modelTypes = ["qwen3_moe"]

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
    var ropeTheta: Double?
    var ropeParameters: RotaryParameters.Table?
    var ropeScaling: RotaryParameters.Table?
    var numExperts: Int?
    /// What transformers 5 writes for `num_experts`.
    var numLocalExperts: Int?
    var numExpertsPerTok: Int
    var moeIntermediateSize: Int
    var normTopkProb: Bool?
    var decoderSparseStep: Int?
    var mlpOnlyLayers: [Int]?
  }

  static func build(_ c: Configuration, _ b: inout GraphBuilder) throws {
    let sizes = try DecoderSizes(c, maximumPositions: 32768, epsilon: 1e-6)
    let step = c.decoderSparseStep ?? 1
    try checkSizes([("decoder_sparse_step", step)])
    let dense = Set(c.mlpOnlyLayers ?? [])
    let experts = try Experts(
      count: c.numExperts ?? c.numLocalExperts ?? 128, chosen: c.numExpertsPerTok, inner: c.moeIntermediateSize,
      activation: c.hiddenAct)
    let window = try SlidingWindow(
      use: c.useSlidingWindow, size: c.slidingWindow, first: 0, types: nil, layers: sizes.layers)
    let decoder = try Decoder(sizes, rotary: RotaryParameters(c, sizes.maximumPositions), window: window.size, &b)
    let bias = c.attentionBias ?? false
    try decoder.preNormModel(tied: c.tieWordEmbeddings ?? false, &b) { x, prefix, layer, b in
      try decoder.attention(
        x, prefix: prefix, layer: layer, inputBias: bias, outputBias: bias, headNorm: true,
        windowed: window.covers(layer), &b)
    } feedForward: { x, prefix, layer, b in
      guard !dense.contains(layer), (layer + 1) % step == 0 else {
        return try b.gatedFeedForward(
          x, prefix, hidden: sizes.hiddenSize, inner: sizes.intermediateSize, activation: c.hiddenAct)
      }
      let routing = try experts.softmaxRouting(
        x, gate: "\(prefix).gate", hidden: sizes.hiddenSize, normalized: c.normTopkProb ?? false, &b)
      return try experts.mix(x, routing, prefix: prefix, hidden: sizes.hiddenSize, &b)
    }
  }
}
