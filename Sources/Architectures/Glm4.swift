import IR
import Tensors

/// GLM-4 (0414 series): grouped attention, partial interleaved rotary embedding, four norms a layer, fused gate and up projection.
///
/// Source: `modeling_glm4.py` of transformers.
enum Glm4: Architecture {
  static let modelTypes = ["glm4"]

  struct Configuration: Decodable {
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
    let sizes = DecoderSizes(
      hiddenSize: c.hiddenSize, intermediateSize: c.intermediateSize, layers: c.numHiddenLayers,
      heads: c.numAttentionHeads, keyValueHeads: c.numKeyValueHeads ?? c.numAttentionHeads,
      headSize: try DecoderSizes.headSize(c.headDim, hiddenSize: c.hiddenSize, heads: c.numAttentionHeads),
      vocabulary: c.vocabSize, maximumPositions: c.maxPositionEmbeddings ?? 131072,
      epsilon: c.rmsNormEps ?? 1.5625e-7)
    let rotary = try RotaryParameters(
      [c.ropeParameters, c.ropeScaling], theta: c.ropeTheta, partialFactor: c.partialRotaryFactor,
      defaultPartialFactor: 0.5)
    let decoder = try Decoder(sizes, rotary: rotary, interleaved: true, &b)
    func norm(_ x: ValueID, _ name: String, _ b: inout GraphBuilder) throws -> ValueID {
      try b.rmsNorm(x, name + ".weight", width: sizes.hiddenSize, epsilon: sizes.epsilon)
    }

    var x = try b.embedding(decoder.ids, "model.embed_tokens.weight", count: sizes.vocabulary, width: sizes.hiddenSize)
    for layer in 0..<sizes.layers {
      let prefix = "model.layers.\(layer)"
      let mixed = try decoder.attention(
        norm(x, "\(prefix).input_layernorm", &b), prefix: "\(prefix).self_attn", layer: layer,
        inputBias: c.attentionBias ?? false, outputBias: false, &b)
      x = try b.add(Add(), x, norm(mixed, "\(prefix).post_self_attn_layernorm", &b))
      let inner = try b.linear(
        norm(x, "\(prefix).post_attention_layernorm", &b), "\(prefix).mlp.gate_up_proj",
        outputs: 2 * sizes.intermediateSize,
        inputs: sizes.hiddenSize, bias: false)
      let halves = try b.addAll(Split(axis: -1, sizes: [sizes.intermediateSize, sizes.intermediateSize]), [inner])
      let gated = try b.add(Multiply(), halves[1], b.activate(halves[0], c.hiddenAct ?? "silu"))
      let down = try b.linear(
        gated, "\(prefix).mlp.down_proj", outputs: sizes.hiddenSize, inputs: sizes.intermediateSize, bias: false)
      x = try b.add(Add(), x, norm(down, "\(prefix).post_mlp_layernorm", &b))
    }
    x = try norm(x, "model.norm", &b)
    try b.languageHead(x, sizes, tied: c.tieWordEmbeddings ?? false)
  }
}

extension GraphBuilder {
  /// The output `logits` [batch, sequence, vocabulary], from `lm_head.weight` or the embedding it is tied to.
  mutating func languageHead(_ x: ValueID, _ sizes: DecoderSizes, tied: Bool) throws {
    if tied { ignore("lm_head.weight") }
    let table = try weight(tied ? "model.embed_tokens.weight" : "lm_head.weight", [sizes.vocabulary, sizes.hiddenSize])
    let logits = try within("lm_head") { b in
      try b.add(MatMul(), x, b.add(Transpose(permutation: [1, 0]), b.cast(table, b.type(of: x).dtype)))
    }
    try output("logits", logits)
  }
}
