import IR
import Tensors

/// DeepSeek-V3 and R1: keys and values from one small latent vector per token, experts beside a shared one.
///
/// The cache holds keys and values of every head, made from the latent when a token is new. Source:
/// `modeling_deepseek_v3.py` of transformers; Liu et al., arXiv 2412.19437.
enum DeepseekV3: Architecture {
  static let modelTypes = ["deepseek_v3"]

  struct Configuration: SharedExpertConfiguration {
    var hiddenSize: Int
    var intermediateSize: Int
    var numHiddenLayers: Int
    var numAttentionHeads: Int
    var vocabSize: Int
    var maxPositionEmbeddings: Int?
    var rmsNormEps: Double?
    var attentionBias: Bool?
    var hiddenAct: String?
    var tieWordEmbeddings: Bool?
    var ropeTheta: Double?
    var ropeParameters: RotaryParameters.Table?
    var ropeScaling: RotaryParameters.Table?
    var ropeInterleave: Bool?
    var qLoraRank: Int?
    var kvLoraRank: Int
    var qkNopeHeadDim: Int
    var qkRopeHeadDim: Int
    var vHeadDim: Int
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

    /// Every head has keys and values of its own.
    var numKeyValueHeads: Int? { numAttentionHeads }
    /// Of queries and keys.
    var headDim: Int? { qkNopeHeadDim &+ qkRopeHeadDim }
  }

  static func build(_ c: Configuration, _ b: inout GraphBuilder) throws {
    let sizes = try DecoderSizes(c, maximumPositions: 4096, epsilon: 1e-6)
    try checkSizes([
      ("kv_lora_rank", c.kvLoraRank), ("qk_nope_head_dim", c.qkNopeHeadDim), ("qk_rope_head_dim", c.qkRopeHeadDim),
      ("v_head_dim", c.vHeadDim), ("qk_nope_head_dim with v_head_dim", c.qkNopeHeadDim &+ c.vHeadDim),
      ("q_lora_rank", c.qLoraRank ?? 1),
    ])
    let rotary = try RotaryParameters(c, sizes.maximumPositions)
    let decoder = try Decoder(
      sizes, rotary: rotary, rotarySize: c.qkRopeHeadDim, interleaved: c.ropeInterleave ?? true, &b)
    let attention = LatentAttention(
      c, decoder, scale: rotary.latentScale(c) / Double(sizes.headSize).squareRoot())
    let experts = try SharedExperts(c, groups: 8, chosenGroups: 4, denseLayers: 3, scale: 2.5)
    b.ignoreLayers(after: sizes.layers, count: c.numNextnPredictLayers ?? 1)
    try decoder.preNormModel(tied: c.tieWordEmbeddings ?? false, &b) { x, prefix, layer, b in
      try attention.mix(x, prefix, layer, &b)
    } feedForward: { x, prefix, layer, b in
      try experts.feedForward(x, prefix, layer, sizes, &b)
    }
  }

  /// Attention whose queries, keys and values come from latent vectors. The part of a key that is rotated is the same
  /// for all heads.
  private struct LatentAttention {
    /// Norms of latent vectors have their own epsilon, whatever the configuration says.
    static let epsilon = 1e-6

    let c: Configuration
    let decoder: Decoder
    let scale: Double

    init(_ c: Configuration, _ decoder: Decoder, scale: Double) {
      self.c = c
      self.decoder = decoder
      self.scale = scale
    }

    func mix(_ x: ValueID, _ prefix: String, _ layer: Int, _ b: inout GraphBuilder) throws -> ValueID {
      let (heads, hidden, plain, turned) = (c.numAttentionHeads, c.hiddenSize, c.qkNopeHeadDim, c.qkRopeHeadDim)
      let bias = c.attentionBias ?? false
      func toHeads(_ x: ValueID, _ sizes: [Int], _ b: inout GraphBuilder) throws -> [ValueID] {
        let split = try b.add(Reshape(shape: [0, 0, heads, sizes.reduce(0, +)]), x)
        return try b.addAll(Split(axis: 3, sizes: sizes), [b.add(Transpose(permutation: [0, 2, 1, 3]), split)])
      }
      let query = try toHeads(queries(x, prefix, &b), [plain, turned], &b)
      let latent = try b.addAll(
        Split(axis: 2, sizes: [c.kvLoraRank, turned]),
        [
          b.linear(
            x, "\(prefix).kv_a_proj_with_mqa", outputs: c.kvLoraRank + turned, inputs: hidden, bias: bias)
        ])
      let normed = try b.rmsNorm(
        latent[0], "\(prefix).kv_a_layernorm.weight", width: c.kvLoraRank, epsilon: LatentAttention.epsilon)
      let wide = try b.linear(
        normed, "\(prefix).kv_b_proj", outputs: heads * (plain + c.vHeadDim), inputs: c.kvLoraRank, bias: false)
      let parts = try toHeads(wide, [plain, c.vHeadDim], &b)
      let shared = try decoder.rotate(b.add(Unsqueeze(axis: 1), latent[1]), &b)
      let keys = try b.add(Concat(axis: 3), parts[0], b.add(Expand(shape: [0, heads, 0, 0]), shared))
      let joint = try b.add(Concat(axis: 3), query[0], decoder.rotate(query[1], &b))
      let mixed = try decoder.attend(joint, keys, parts[1], scale: scale, prefix: prefix, layer: layer, &b)
      return try b.linear(mixed, "\(prefix).o_proj", outputs: hidden, inputs: heads * c.vHeadDim, bias: bias)
    }

    private func queries(_ x: ValueID, _ prefix: String, _ b: inout GraphBuilder) throws -> ValueID {
      let outputs = c.numAttentionHeads * (c.qkNopeHeadDim + c.qkRopeHeadDim)
      guard let rank = c.qLoraRank else {
        return try b.linear(x, "\(prefix).q_proj", outputs: outputs, inputs: c.hiddenSize, bias: false)
      }
      let latent = try b.linear(
        x, "\(prefix).q_a_proj", outputs: rank, inputs: c.hiddenSize, bias: c.attentionBias ?? false)
      let normed = try b.rmsNorm(
        latent, "\(prefix).q_a_layernorm.weight", width: rank, epsilon: LatentAttention.epsilon)
      return try b.linear(normed, "\(prefix).q_b_proj", outputs: outputs, inputs: rank, bias: false)
    }
  }
}

extension RotaryParameters {
  /// What attention scores are multiplied with when the context is stretched.
  fileprivate func latentScale(_ c: DeepseekV3.Configuration) -> Double {
    guard scaling != .none, let table = c.ropeParameters ?? c.ropeScaling, let weight = table.mscaleAllDim, weight != 0
    else { return 1 }
    let scale = Table.yarnScale(table.factor ?? 1, weight)
    return scale * scale
  }
}
