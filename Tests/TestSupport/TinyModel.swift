public import Tensors

/// A model of two layers with random weights, small enough for the interpreter.
public enum TinyModel: String, Sendable, CaseIterable {
  case bert
  case glm4
  case llama

  /// The configuration, with members added or replaced by JSON text; nil leaves one out.
  public func config(_ changes: [String: String?] = [:]) throws -> JSON {
    var members = [
      "model_type": "\"\(rawValue)\"", "hidden_size": "16", "intermediate_size": "24", "num_hidden_layers": "2",
      "num_attention_heads": "4", "vocab_size": "11", "max_position_embeddings": "32",
    ]
    if self == .bert {
      members["layer_norm_eps"] = "1e-12"
    } else {
      members.merge(["num_key_value_heads": "2", "head_dim": "8", "rms_norm_eps": "1e-05"]) { $1 }
    }
    if self == .glm4 { members["attention_bias"] = "true" }
    for (name, value) in changes { members[name] = value }
    let text = members.sorted { $0.key < $1.key }.map { "\"\($0.key)\": \($0.value)" }
    return try JSON.parse("{\(text.joined(separator: ", "))}")
  }

  /// The weights that the configuration asks for.
  public var shapes: [(name: String, shape: [Int])] {
    switch self {
    case .bert:
      let norm = [("LayerNorm.weight", [16]), ("LayerNorm.bias", [16])]
      func dense(_ name: String, _ n: Int, _ k: Int) -> [(String, [Int])] { [(name + ".weight", [n, k]), (name + ".bias", [n])] }
      func under(_ prefix: String, _ list: [(String, [Int])]) -> [(String, [Int])] { list.map { (prefix + "." + $0.0, $0.1) } }
      let tables = [("word_embeddings.weight", [11, 16]), ("position_embeddings.weight", [32, 16]), ("token_type_embeddings.weight", [2, 16])]
      let layer =
        ["query", "key", "value"].flatMap { dense("attention.self." + $0, 16, 16) } + dense("attention.output.dense", 16, 16)
        + under("attention.output", norm) + dense("intermediate.dense", 24, 16) + dense("output.dense", 16, 24)
        + under("output", norm)
      return under("embeddings", tables + norm) + (0..<2).flatMap { under("encoder.layer.\($0)", layer) } + dense("pooler.dense", 16, 16)
    case .glm4, .llama:
      let attention = [
        ("self_attn.q_proj.weight", [32, 16]), ("self_attn.k_proj.weight", [16, 16]), ("self_attn.v_proj.weight", [16, 16]),
        ("self_attn.o_proj.weight", [16, 32]),
      ]
      let norms = ["input_layernorm", "post_attention_layernorm"] + (self == .glm4 ? ["post_self_attn_layernorm", "post_mlp_layernorm"] : [])
      let own: [(String, [Int])] =
        self == .glm4
        ? [
          ("self_attn.q_proj.bias", [32]), ("self_attn.k_proj.bias", [16]), ("self_attn.v_proj.bias", [16]),
          ("mlp.gate_up_proj.weight", [48, 16]),
        ] : [("mlp.gate_proj.weight", [24, 16]), ("mlp.up_proj.weight", [24, 16])]
      let layer = attention + norms.map { ($0 + ".weight", [16]) } + own + [("mlp.down_proj.weight", [16, 24])]
      return [("model.embed_tokens.weight", [11, 16])] + (0..<2).flatMap { k in layer.map { ("model.layers.\(k)." + $0.0, $0.1) } }
        + [("model.norm.weight", [16]), ("lm_head.weight", [11, 16])]
    }
  }

  /// Random weights; those that `replacing` names have another type, or are left out.
  public func weights(
    _ dtype: DType = .float32, seed: UInt64 = 1, replacing: [String: TensorType?] = [:], adding: [String: TensorType] = [:]
  ) throws -> TensorStore {
    var generator = SplitMix64(seed: seed)
    var store = TensorStore()
    let all = shapes.map { ($0.name, TensorType(dtype, shape: $0.shape)) } + adding.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    for (name, type) in all {
      guard let type = replacing[name] ?? type, let shape = type.shape else { continue }
      let isNorm = name.contains("norm") || name.contains("LayerNorm.weight")
      let tensor =
        type.dtype.isFloat
        ? try Tensor.random(type.dtype, shape: shape, scale: isNorm ? 1 : 0.5, using: &generator)
        : try Tensor(type.dtype, shape: shape, integers: [Int64](repeating: 1, count: shape.reduce(1, *)))
      try store.append(TensorName(name), tensor)
    }
    return store
  }
}
