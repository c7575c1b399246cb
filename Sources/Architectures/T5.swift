import IR
import Tensors

/// The encoder of T5 and ByT5: a bias per head that depends on the distance of two positions, RMS norms, no other biases.
///
/// Outputs `last_hidden_state`. Source: `T5EncoderModel` in `modeling_t5.py` of transformers.
enum T5: Architecture {
  static let modelTypes = ["t5"]

  struct Configuration: Decodable {
    var dModel: Int
    var dKv: Int
    var dFf: Int
    var numLayers: Int
    var numHeads: Int
    var vocabSize: Int
    var feedForwardProj: String?
    var relativeAttentionNumBuckets: Int?
    var relativeAttentionMaxDistance: Int?
    var layerNormEpsilon: Double?
  }

  static func build(_ c: Configuration, _ b: inout GraphBuilder) throws {
    let (width, heads, inner) = (c.dModel, c.numHeads, c.numHeads &* c.dKv)
    let epsilon = c.layerNormEpsilon ?? 1e-6
    try checkSizes([
      ("d_model", width), ("d_kv", c.dKv), ("d_ff", c.dFf), ("num_layers", c.numLayers), ("num_heads", heads),
      ("vocab_size", c.vocabSize),
    ])
    try checkEpsilon(epsilon, "layer_norm_epsilon")
    if b.hasWeight("decoder.final_layer_norm.weight") {
      throw BessemerError(.unsupportedFeature, "the checkpoint has a decoder; of T5, only encoders are supported")
    }
    let buckets = try RelativeBuckets(
      count: c.relativeAttentionNumBuckets ?? 32, maximumDistance: c.relativeAttentionMaxDistance ?? 128)

    let ids = b.input("input_ids", TensorType(.int64, ["batch", "sequence"]))
    let mask = b.input("attention_mask", TensorType(.int64, ["batch", "sequence"]), initial: .ones)
    let bias = try b.within("mask") { b in
      let places = try buckets.bias(ids, heads: heads, &b)
      let visible = try b.add(
        NotEqual(), b.add(Unsqueeze(axis: 1), b.add(Unsqueeze(axis: 1), mask)), b.scalar(0, .int64))
      return try b.add(Add(), places, b.maskBias(visible))
    }
    let table = ["shared.weight", "encoder.embed_tokens.weight"]
    let name = table.first(where: b.hasWeight) ?? table[0]
    table.filter { $0 != name }.forEach { b.ignore($0) }
    var x = try b.embedding(ids, name, count: c.vocabSize, width: width)
    for layer in 0..<c.numLayers {
      let prefix = "encoder.block.\(layer).layer"
      let y = try b.rmsNorm(x, "\(prefix).0.layer_norm.weight", width: width, epsilon: epsilon)
      func project(_ name: String, _ b: inout GraphBuilder) throws -> ValueID {
        let z = try b.linear(y, "\(prefix).0.SelfAttention.\(name)", outputs: inner, inputs: width, bias: false)
        return try b.add(Transpose(permutation: [0, 2, 1, 3]), b.add(Reshape(shape: [0, 0, heads, c.dKv]), z))
      }
      let (q, k, v) = (try project("q", &b), try project("k", &b), try project("v", &b))
      let mixed = try b.within("\(prefix).0.attention") { b in
        try b.attention(q, k, v, scale: 1, groups: 1, bias: bias)
      }
      let joined = try b.add(Reshape(shape: [0, 0, inner]), b.add(Transpose(permutation: [0, 2, 1, 3]), mixed))
      x = try b.add(
        Add(), x, b.linear(joined, "\(prefix).0.SelfAttention.o", outputs: width, inputs: inner, bias: false))
      let z = try b.rmsNorm(x, "\(prefix).1.layer_norm.weight", width: width, epsilon: epsilon)
      x = try b.add(Add(), x, feedForward(z, "\(prefix).1.DenseReluDense", c, &b))
    }
    try b.output("last_hidden_state", b.rmsNorm(x, "encoder.final_layer_norm.weight", width: width, epsilon: epsilon))
  }

  /// `wo(activation(wi(x)))`, or with a gate `wo(activation(wi_0(x)) · wi_1(x))`.
  private static func feedForward(_ x: ValueID, _ prefix: String, _ c: Configuration, _ b: inout GraphBuilder) throws
    -> ValueID
  {
    func widen(_ name: String, _ b: inout GraphBuilder) throws -> ValueID {
      try b.linear(x, "\(prefix).\(name)", outputs: c.dFf, inputs: c.dModel, bias: false)
    }
    let kind = c.feedForwardProj ?? "relu"
    let active: ValueID
    if kind.hasPrefix("gated-") {
      // Since T5 1.1 this name stands for the approximation by a hyperbolic tangent.
      let activation = kind == "gated-gelu" ? "gelu_new" : String(kind.dropFirst("gated-".count))
      active = try b.add(Multiply(), b.activate(widen("wi_0", &b), activation), widen("wi_1", &b))
    } else {
      active = try b.activate(widen("wi", &b), kind)
    }
    return try b.linear(active, "\(prefix).wo", outputs: c.dModel, inputs: c.dFf, bias: false)
  }
}

/// T5's classes of distances: near ones one by one, far ones in classes that widen logarithmically, either direction apart.
struct RelativeBuckets {
  let count: Int
  /// The first distance of which all further ones are in the same class.
  let maximumDistance: Int

  /// - Throws: ``ErrorCode/config`` when there is no room for exact and for logarithmic classes.
  init(count: Int, maximumDistance: Int) throws {
    try checkSizes([
      ("relative_attention_num_buckets", count), ("relative_attention_max_distance", maximumDistance),
    ])
    guard count >= 4, maximumDistance > count / 4, maximumDistance <= 1 << 16 else {
      throw BessemerError(
        .config,
        "\(count) relative_attention_num_buckets do not go with a relative_attention_max_distance of \(maximumDistance)"
      )
    }
    self.count = count
    self.maximumDistance = maximumDistance
  }

  /// The class of a key that stands `distance` behind the query, or before it when negative. In float32, as in training.
  func bucket(_ distance: Int) -> Int {
    let (half, exact) = (count / 2, count / 4)
    let direction = distance > 0 ? half : 0
    let length = abs(distance)
    guard length >= exact else { return direction + length }
    let ratio = Float(naturalLogarithm(Double(Float(length) / Float(exact))))
    let whole = Float(naturalLogarithm(Double(maximumDistance) / Double(exact)))
    return direction + min(exact + Int(ratio / whole * Float(half - exact)), half - 1)
  }

  /// What is added to the scores, [1, heads, sequence, sequence], for the length of `ids` [batch, sequence]: the rows of
  /// the first layer's table of classes.
  func bias(_ ids: ValueID, heads: Int, _ b: inout GraphBuilder) throws -> ValueID {
    let limit = maximumDistance
    let classes = Tensor((-limit...limit).map { Int64(bucket($0)) }, shape: [2 * limit + 1])
    let places = try b.add(Iota(axis: 1), ids)
    let distances = try b.add(Subtract(), b.add(Unsqueeze(axis: 0), places), b.add(Unsqueeze(axis: 1), places))
    let index = try b.plus(b.add(Clip(minimum: Double(-limit), maximum: Double(limit)), distances), Double(limit))
    let rows = try b.embedding(
      b.add(Gather(axis: 0), b.constant(classes), index),
      "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight", count: count, width: heads)
    return try b.add(Unsqueeze(axis: 0), b.add(Transpose(permutation: [2, 0, 1]), rows))
  }
}
