import IR
import Tensors

/// BERT: word, position and type embeddings, bidirectional attention, norms after each residual sum.
///
/// Outputs `last_hidden_state` and, when the checkpoint has a pooler, `pooler_output`.
/// Source: `modeling_bert.py` of transformers; names with the prefix `bert.` and the old `gamma`/`beta` are understood.
enum Bert: Architecture {
  static let modelTypes = ["bert"]

  struct Configuration: Decodable {
    var hiddenSize: Int
    var intermediateSize: Int
    var numHiddenLayers: Int
    var numAttentionHeads: Int
    var vocabSize: Int
    var maxPositionEmbeddings: Int?
    var typeVocabSize: Int?
    var layerNormEps: Double?
    var hiddenAct: String?
    var positionEmbeddingType: String?
  }

  static func build(_ c: Configuration, _ b: inout GraphBuilder) throws {
    let (width, heads) = (c.hiddenSize, c.numAttentionHeads)
    let epsilon = c.layerNormEps ?? 1e-12
    let (positionCount, typeCount) = (c.maxPositionEmbeddings ?? 512, c.typeVocabSize ?? 2)
    try checkSizes([
      ("hidden_size", width), ("intermediate_size", c.intermediateSize), ("num_hidden_layers", c.numHiddenLayers),
      ("num_attention_heads", heads), ("vocab_size", c.vocabSize), ("max_position_embeddings", positionCount),
      ("type_vocab_size", typeCount),
    ])
    try checkEpsilon(epsilon, "layer_norm_eps")
    let headSize = try DecoderSizes.headSize(nil, hiddenSize: width, heads: heads)
    if let kind = c.positionEmbeddingType, kind != "absolute" {
      throw BessemerError(.unsupportedFeature, "position_embedding_type \(quoted(kind)) is not supported")
    }
    let root = b.hasWeight("bert.embeddings.word_embeddings.weight") ? "bert." : ""

    func norm(_ x: ValueID, _ name: String, _ b: inout GraphBuilder) throws -> ValueID {
      let old = b.hasWeight(name + ".gamma")
      return try b.layerNorm(
        x, weight: name + (old ? ".gamma" : ".weight"), bias: name + (old ? ".beta" : ".bias"), width: width,
        epsilon: epsilon)
    }

    let ids = b.input("input_ids", TensorType(.int64, ["batch", "sequence"]))
    let mask = b.input("attention_mask", TensorType(.int64, ["batch", "sequence"]), initial: .ones)
    let types = b.input("token_type_ids", TensorType(.int64, ["batch", "sequence"]), initial: .zeros)
    let positions = b.input("position_ids", TensorType(.int64, ["batch", "sequence"]), initial: .positions)
    let bias = try b.within("mask") { b in
      try b.maskBias(
        b.add(NotEqual(), b.add(Unsqueeze(axis: 1), b.add(Unsqueeze(axis: 1), mask)), b.scalar(0, .int64)))
    }
    let embeddings = root + "embeddings"
    let words = try b.embedding(ids, "\(embeddings).word_embeddings.weight", count: c.vocabSize, width: width)
    let kinds = try b.embedding(types, "\(embeddings).token_type_embeddings.weight", count: typeCount, width: width)
    let places = try b.embedding(
      positions, "\(embeddings).position_embeddings.weight", count: positionCount, width: width)
    var x = try norm(b.add(Add(), b.add(Add(), words, kinds), places), "\(embeddings).LayerNorm", &b)

    for layer in 0..<c.numHiddenLayers {
      let prefix = "\(root)encoder.layer.\(layer)"
      func project(_ name: String, _ b: inout GraphBuilder) throws -> ValueID {
        let y = try b.linear(x, "\(prefix).attention.self.\(name)", outputs: width, inputs: width, bias: true)
        return try b.add(Transpose(permutation: [0, 2, 1, 3]), b.add(Reshape(shape: [0, 0, heads, headSize]), y))
      }
      let (q, k, v) = (try project("query", &b), try project("key", &b), try project("value", &b))
      let mixed = try b.within("\(prefix).attention") { b in
        try b.attention(q, k, v, scale: 1 / Double(headSize).squareRoot(), groups: 1, bias: bias)
      }
      let joined = try b.add(Reshape(shape: [0, 0, width]), b.add(Transpose(permutation: [0, 2, 1, 3]), mixed))
      let projected = try b.linear(
        joined, "\(prefix).attention.output.dense", outputs: width, inputs: width, bias: true)
      x = try norm(b.add(Add(), projected, x), "\(prefix).attention.output.LayerNorm", &b)
      let inner = try b.linear(
        x, "\(prefix).intermediate.dense", outputs: c.intermediateSize, inputs: width, bias: true)
      let active = try b.activate(inner, c.hiddenAct ?? "gelu")
      let outer = try b.linear(
        active, "\(prefix).output.dense", outputs: width, inputs: c.intermediateSize, bias: true)
      x = try norm(b.add(Add(), outer, x), "\(prefix).output.LayerNorm", &b)
    }
    try b.output("last_hidden_state", x)
    guard b.hasWeight(root + "pooler.dense.weight") else { return }
    let first = try b.add(Squeeze(axis: 1), b.add(Slice(axis: 1, start: 0, end: 1), x))
    let pooled = try b.add(Tanh(), b.linear(first, root + "pooler.dense", outputs: width, inputs: width, bias: true))
    try b.output("pooler_output", pooled)
  }
}
