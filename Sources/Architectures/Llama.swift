import IR
import Tensors

/// Llama 2, 3 and 3.x: grouped attention, rotary embedding over halves, gated feed-forward.
///
/// Source: `modeling_llama.py` of transformers.
enum Llama: Architecture {
  static let modelTypes = ["llama"]

  struct Configuration: Decodable {
    var hidden_size: Int
    var intermediate_size: Int
    var num_hidden_layers: Int
    var num_attention_heads: Int
    var num_key_value_heads: Int?
    var head_dim: Int?
    var vocab_size: Int
    var max_position_embeddings: Int?
    var rms_norm_eps: Double?
    var attention_bias: Bool?
    var mlp_bias: Bool?
    var hidden_act: String?
    var tie_word_embeddings: Bool?
    var rope_theta: Double?
    var rope_parameters: RotaryParameters.Table?
    var rope_scaling: RotaryParameters.Table?
  }

  static func build(_ c: Configuration, _ b: inout GraphBuilder) throws {
    let sizes = DecoderSizes(
      hiddenSize: c.hidden_size, intermediateSize: c.intermediate_size, layers: c.num_hidden_layers,
      heads: c.num_attention_heads, keyValueHeads: c.num_key_value_heads ?? c.num_attention_heads,
      headSize: try DecoderSizes.headSize(c.head_dim, hiddenSize: c.hidden_size, heads: c.num_attention_heads),
      vocabulary: c.vocab_size, maximumPositions: c.max_position_embeddings ?? 2048, epsilon: c.rms_norm_eps ?? 1e-6)
    let rotary = try RotaryParameters([c.rope_parameters, c.rope_scaling], theta: c.rope_theta, partialFactor: nil)
    let decoder = try Decoder(sizes, rotary: rotary, interleaved: false, &b)
    let bias = c.mlp_bias ?? false
    func norm(_ x: ValueID, _ name: String, _ b: inout GraphBuilder) throws -> ValueID {
      try b.rmsNorm(x, name + ".weight", width: sizes.hiddenSize, epsilon: sizes.epsilon)
    }

    var x = try b.embedding(decoder.ids, "model.embed_tokens.weight", count: sizes.vocabulary, width: sizes.hiddenSize)
    for layer in 0..<sizes.layers {
      let prefix = "model.layers.\(layer)"
      let mixed = try decoder.attention(
        norm(x, "\(prefix).input_layernorm", &b), prefix: "\(prefix).self_attn", layer: layer,
        inputBias: c.attention_bias ?? false, outputBias: c.attention_bias ?? false, &b)
      x = try b.add(Add(), x, mixed)
      let y = try norm(x, "\(prefix).post_attention_layernorm", &b)
      func project(_ name: String, _ b: inout GraphBuilder) throws -> ValueID {
        try b.linear(y, "\(prefix).mlp.\(name)", outputs: sizes.intermediateSize, inputs: sizes.hiddenSize, bias: bias)
      }
      let gated = try b.add(Multiply(), b.activate(project("gate_proj", &b), c.hidden_act ?? "silu"), project("up_proj", &b))
      let down = try b.linear(
        gated, "\(prefix).mlp.down_proj", outputs: sizes.hiddenSize, inputs: sizes.intermediateSize, bias: bias)
      x = try b.add(Add(), x, down)
    }
    x = try norm(x, "model.norm", &b)
    try b.languageHead(x, sizes, tied: c.tie_word_embeddings ?? false)
  }
}
