import IR
import Tensors

/// Llama 2, 3 and 3.x: grouped attention, rotary embedding over halves, gated feed-forward.
///
/// Source: `modeling_llama.py` of transformers.
enum Llama: Architecture {
  static let modelTypes = ["llama"]

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
    var mlpBias: Bool?
    var hiddenAct: String?
    var tieWordEmbeddings: Bool?
    var ropeTheta: Double?
    var ropeParameters: RotaryParameters.Table?
    var ropeScaling: RotaryParameters.Table?
  }

  static func build(_ c: Configuration, _ b: inout GraphBuilder) throws {
    let sizes = DecoderSizes(
      hiddenSize: c.hiddenSize, intermediateSize: c.intermediateSize, layers: c.numHiddenLayers,
      heads: c.numAttentionHeads, keyValueHeads: c.numKeyValueHeads ?? c.numAttentionHeads,
      headSize: try DecoderSizes.headSize(c.headDim, hiddenSize: c.hiddenSize, heads: c.numAttentionHeads),
      vocabulary: c.vocabSize, maximumPositions: c.maxPositionEmbeddings ?? 2048, epsilon: c.rmsNormEps ?? 1e-6)
    let rotary = try RotaryParameters([c.ropeParameters, c.ropeScaling], theta: c.ropeTheta, partialFactor: nil)
    let decoder = try Decoder(sizes, rotary: rotary, interleaved: false, &b)
    let bias = c.mlpBias ?? false
    func norm(_ x: ValueID, _ name: String, _ b: inout GraphBuilder) throws -> ValueID {
      try b.rmsNorm(x, name + ".weight", width: sizes.hiddenSize, epsilon: sizes.epsilon)
    }

    var x = try b.embedding(decoder.ids, "model.embed_tokens.weight", count: sizes.vocabulary, width: sizes.hiddenSize)
    for layer in 0..<sizes.layers {
      let prefix = "model.layers.\(layer)"
      let mixed = try decoder.attention(
        norm(x, "\(prefix).input_layernorm", &b), prefix: "\(prefix).self_attn", layer: layer,
        inputBias: c.attentionBias ?? false, outputBias: c.attentionBias ?? false, &b)
      x = try b.add(Add(), x, mixed)
      let y = try norm(x, "\(prefix).post_attention_layernorm", &b)
      func project(_ name: String, _ b: inout GraphBuilder) throws -> ValueID {
        try b.linear(y, "\(prefix).mlp.\(name)", outputs: sizes.intermediateSize, inputs: sizes.hiddenSize, bias: bias)
      }
      let gated = try b.add(
        Multiply(), b.activate(project("gate_proj", &b), c.hiddenAct ?? "silu"), project("up_proj", &b))
      let down = try b.linear(
        gated, "\(prefix).mlp.down_proj", outputs: sizes.hiddenSize, inputs: sizes.intermediateSize, bias: bias)
      x = try b.add(Add(), x, down)
    }
    x = try norm(x, "model.norm", &b)
    try b.languageHead(x, sizes, tied: c.tieWordEmbeddings ?? false)
  }
}
