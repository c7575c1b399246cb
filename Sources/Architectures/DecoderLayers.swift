import IR
import Tensors

extension Decoder {
  /// Computes what goes into a residual sum of layer `layer` from the normalized `x` [batch, sequence, hidden].
  typealias Part = (_ x: ValueID, _ prefix: String, _ layer: Int, _ b: inout GraphBuilder) throws -> ValueID

  /// A language model of layers that add attention of their norm, then feed-forward of its norm: the output `logits`.
  ///
  /// `attention` gets the prefix `model.layers.N.self_attn`, `feedForward` the prefix `model.layers.N.mlp`.
  func preNormModel(tied: Bool, _ b: inout GraphBuilder, attention: Part, feedForward: Part) throws {
    func norm(_ x: ValueID, _ name: String, _ b: inout GraphBuilder) throws -> ValueID {
      try b.rmsNorm(x, name + ".weight", width: sizes.hiddenSize, epsilon: sizes.epsilon)
    }
    var x = try b.embedding(ids, "model.embed_tokens.weight", count: sizes.vocabulary, width: sizes.hiddenSize)
    for layer in 0..<sizes.layers {
      let prefix = "model.layers.\(layer)"
      let mixed = try attention(norm(x, "\(prefix).input_layernorm", &b), "\(prefix).self_attn", layer, &b)
      x = try b.add(Add(), x, mixed)
      let y = try feedForward(norm(x, "\(prefix).post_attention_layernorm", &b), "\(prefix).mlp", layer, &b)
      x = try b.add(Add(), x, y)
    }
    try b.languageHead(norm(x, "model.norm", &b), sizes, tied: tied)
  }
}

extension GraphBuilder {
  /// `down(activation(gate(x)) · up(x))` with the projections `PREFIX.{gate,up,down}_proj`.
  mutating func gatedFeedForward(
    _ x: ValueID, _ prefix: String, hidden: Int, inner: Int, activation: String?, bias: Bool = false
  ) throws -> ValueID {
    let gate = try linear(x, "\(prefix).gate_proj", outputs: inner, inputs: hidden, bias: bias)
    let up = try linear(x, "\(prefix).up_proj", outputs: inner, inputs: hidden, bias: bias)
    let gated = try add(Multiply(), activate(gate, activation ?? "silu"), up)
    return try linear(gated, "\(prefix).down_proj", outputs: hidden, inputs: inner, bias: bias)
  }

  /// The output `logits` [batch, sequence, vocabulary], from `lm_head.weight` or the embedding it is tied to.
  mutating func languageHead(
    _ x: ValueID, _ sizes: DecoderSizes, tied: Bool, embedding: String = "model.embed_tokens.weight"
  ) throws {
    if tied { ignore("lm_head.weight") }
    let table = try weight(tied ? embedding : "lm_head.weight", [sizes.vocabulary, sizes.hiddenSize])
    let logits = try within("lm_head") { b in
      try b.add(MatMul(), x, b.add(Transpose(permutation: [1, 0]), b.cast(table, b.type(of: x).dtype)))
    }
    try output("logits", logits)
  }
}
