import IR
import Tensors

/// GPT-2: learned positions, norms with bias before attention and feed-forward, projections stored as [inputs, outputs].
///
/// Source: `modeling_gpt2.py` of transformers; names with and without the prefix `transformer.` are understood.
enum GPT2: Architecture {
  static let modelTypes = ["gpt2"]

  struct Configuration: Decodable {
    var nEmbd: Int
    var nLayer: Int
    var nHead: Int
    var nInner: Int?
    var nPositions: Int?
    var vocabSize: Int
    var layerNormEpsilon: Double?
    var activationFunction: String?
    var scaleAttnWeights: Bool?
    var scaleAttnByInverseLayerIdx: Bool?
    var addCrossAttention: Bool?
    var tieWordEmbeddings: Bool?
  }

  static func build(_ c: Configuration, _ b: inout GraphBuilder) throws {
    let (width, inner) = (c.nEmbd, c.nInner ?? 4 &* c.nEmbd)
    try checkSizes([("n_embd", width), ("n_inner", inner)])
    if c.addCrossAttention ?? false {
      throw BessemerError(.unsupportedFeature, "add_cross_attention is not supported")
    }
    let sizes = DecoderSizes(
      hiddenSize: width, intermediateSize: inner, layers: c.nLayer, heads: c.nHead, keyValueHeads: c.nHead,
      headSize: try DecoderSizes.headSize(nil, hiddenSize: width, heads: c.nHead), vocabulary: c.vocabSize,
      maximumPositions: c.nPositions ?? 1024, epsilon: c.layerNormEpsilon ?? 1e-5)
    let decoder = try Decoder(sizes, rotary: nil, &b)
    let root = b.hasWeight("transformer.wte.weight") ? "transformer." : ""
    func norm(_ x: ValueID, _ name: String, _ b: inout GraphBuilder) throws -> ValueID {
      try b.layerNorm(x, weight: name + ".weight", bias: name + ".bias", width: width, epsilon: sizes.epsilon)
    }

    let words = try b.embedding(decoder.ids, root + "wte.weight", count: sizes.vocabulary, width: width)
    let places = try b.embedding(
      decoder.positions, root + "wpe.weight", count: sizes.maximumPositions, width: width)
    var x = try b.add(Add(), words, places)
    for layer in 0..<sizes.layers {
      let prefix = "\(root)h.\(layer)"
      // Old checkpoints carry the causal mask.
      b.ignore(prefix + ".attn.bias")
      b.ignore(prefix + ".attn.masked_bias")
      let joint = try b.transposedLinear(
        norm(x, "\(prefix).ln_1", &b), "\(prefix).attn.c_attn", inputs: width, outputs: 3 * width)
      let parts = try b.addAll(Split(axis: -1, sizes: [width, width, width]), [joint]).map { part in
        try b.add(
          Transpose(permutation: [0, 2, 1, 3]), b.add(Reshape(shape: [0, 0, sizes.heads, sizes.headSize]), part))
      }
      var scale = c.scaleAttnWeights ?? true ? 1 / Double(sizes.headSize).squareRoot() : 1
      if c.scaleAttnByInverseLayerIdx ?? false { scale /= Double(layer + 1) }
      let mixed = try decoder.attend(
        parts[0], parts[1], parts[2], scale: scale, prefix: "\(prefix).attn", layer: layer, &b)
      x = try b.add(Add(), x, b.transposedLinear(mixed, "\(prefix).attn.c_proj", inputs: width, outputs: width))
      let wide = try b.transposedLinear(
        norm(x, "\(prefix).ln_2", &b), "\(prefix).mlp.c_fc", inputs: width, outputs: inner)
      let active = try b.activate(wide, c.activationFunction ?? "gelu_new")
      x = try b.add(Add(), x, b.transposedLinear(active, "\(prefix).mlp.c_proj", inputs: inner, outputs: width))
    }
    try b.languageHead(
      norm(x, root + "ln_f", &b), sizes, tied: c.tieWordEmbeddings ?? true, embedding: root + "wte.weight")
  }
}

extension GraphBuilder {
  /// `x · W + b` with `NAME.weight` [inputs, outputs] and `NAME.bias` [outputs]: what GPT-2 calls a convolution.
  fileprivate mutating func transposedLinear(_ x: ValueID, _ name: String, inputs: Int, outputs: Int) throws
    -> ValueID
  {
    try within(name) { b in
      let dtype = b.type(of: x).dtype
      let product = try b.add(MatMul(), x, b.cast(b.weight(name + ".weight", [inputs, outputs]), dtype))
      return try b.add(Add(), product, b.cast(b.weight(name + ".bias", [outputs]), dtype))
    }
  }
}
