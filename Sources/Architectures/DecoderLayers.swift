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

  /// The normalized states [batch, sequence, hidden] after layers whose attention and feed-forward are normalized
  /// before and after, with gate and up projection in one weight. Names begin with `root`: `model.layers.0.self_attn`.
  func sandwichNormLayers(
    _ root: String, inputBias: Bool, activation: String?, _ b: inout GraphBuilder
  ) throws -> ValueID {
    let (hidden, inner) = (sizes.hiddenSize, sizes.intermediateSize)
    func norm(_ x: ValueID, _ name: String, _ b: inout GraphBuilder) throws -> ValueID {
      try b.rmsNorm(x, name + ".weight", width: hidden, epsilon: sizes.epsilon)
    }
    var x = try b.embedding(ids, "\(root).embed_tokens.weight", count: sizes.vocabulary, width: hidden)
    for layer in 0..<sizes.layers {
      let prefix = "\(root).layers.\(layer)"
      let mixed = try attention(
        norm(x, "\(prefix).input_layernorm", &b), prefix: "\(prefix).self_attn", layer: layer, inputBias: inputBias,
        outputBias: false, &b)
      x = try b.add(Add(), x, norm(mixed, "\(prefix).post_self_attn_layernorm", &b))
      let both = try b.linear(
        norm(x, "\(prefix).post_attention_layernorm", &b), "\(prefix).mlp.gate_up_proj", outputs: 2 * inner,
        inputs: hidden, bias: false)
      let halves = try b.addAll(Split(axis: -1, sizes: [inner, inner]), [both])
      let gated = try b.add(Multiply(), halves[1], b.activate(halves[0], activation ?? "silu"))
      let down = try b.linear(gated, "\(prefix).mlp.down_proj", outputs: hidden, inputs: inner, bias: false)
      x = try b.add(Add(), x, norm(down, "\(prefix).post_mlp_layernorm", &b))
    }
    return try norm(x, "\(root).norm", &b)
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

  /// The output `logits` [batch, sequence, rows], from `lm_head.weight` or the embedding it is tied to; the rows are as
  /// many as the vocabulary unless said otherwise.
  mutating func languageHead(
    _ x: ValueID, _ sizes: DecoderSizes, tied: Bool, embedding: String = "model.embed_tokens.weight", rows: Int? = nil
  ) throws {
    if tied { ignore("lm_head.weight") }
    let table = try weight(tied ? embedding : "lm_head.weight", [rows ?? sizes.vocabulary, sizes.hiddenSize])
    let logits = try within("lm_head") { b in
      try b.add(MatMul(), x, b.add(Transpose(permutation: [1, 0]), b.cast(table, b.type(of: x).dtype)))
    }
    try output("logits", logits)
  }
}
