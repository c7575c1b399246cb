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
