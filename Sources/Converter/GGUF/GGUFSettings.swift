internal import Checkpoints
internal import Tensors

/// What config.json and GGUF metadata say in different words: both directions of one table.
enum GGUFSettings {
  private enum Kind { case count, number, flag }

  private struct Setting {
    /// Members of config.json, the first that is there counts; the first is the one that is written.
    let names: [String]
    /// The key, without the architecture before it.
    let key: String
    let kind: Kind
    /// Architectures that have it; all without a list.
    var only: Set<String> = []
  }

  private static let moe: Set<String> = ["glm4moe", "qwen2moe", "qwen3moe"]
  private static let table: [Setting] = [
    Setting(names: ["max_position_embeddings"], key: "context_length", kind: .count),
    Setting(names: ["hidden_size"], key: "embedding_length", kind: .count),
    Setting(names: ["intermediate_size"], key: "feed_forward_length", kind: .count),
    Setting(names: ["num_attention_heads"], key: "attention.head_count", kind: .count),
    Setting(names: ["num_key_value_heads"], key: "attention.head_count_kv", kind: .count),
    Setting(names: ["rms_norm_eps"], key: "attention.layer_norm_rms_epsilon", kind: .number),
    Setting(names: ["layer_norm_eps"], key: "attention.layer_norm_epsilon", kind: .number),
    Setting(names: ["num_local_experts", "num_experts", "n_routed_experts"], key: "expert_count", kind: .count),
    Setting(names: ["num_experts_per_tok"], key: "expert_used_count", kind: .count),
    Setting(names: ["n_group"], key: "expert_group_count", kind: .count),
    Setting(names: ["topk_group"], key: "expert_group_used_count", kind: .count),
    Setting(names: ["vocab_size"], key: "vocab_size", kind: .count, only: ["llama"]),
    Setting(names: ["moe_intermediate_size"], key: "expert_feed_forward_length", kind: .count, only: moe),
    Setting(
      names: ["shared_expert_intermediate_size"], key: "expert_shared_feed_forward_length", kind: .count,
      only: ["qwen2moe"]),
    Setting(names: ["n_shared_experts"], key: "expert_shared_count", kind: .count, only: ["glm4moe"]),
    Setting(names: ["first_k_dense_replace"], key: "leading_dense_block_count", kind: .count, only: ["glm4moe"]),
    Setting(names: ["routed_scaling_factor"], key: "expert_weights_scale", kind: .number, only: ["glm4moe"]),
    Setting(names: ["norm_topk_prob"], key: "expert_weights_norm", kind: .flag, only: ["glm4moe"]),
    Setting(names: ["num_nextn_predict_layers"], key: "nextn_predict_layers", kind: .count, only: ["glm4moe"]),
  ]

  private static func settings(_ architecture: String) -> [Setting] {
    table.filter { $0.only.isEmpty || $0.only.contains(architecture) }
  }

  /// The metadata that says what config.json says. Throws ``ErrorCode/config``.
  static func metadata(_ config: JSON, _ family: GGUFFamily) throws -> [TensorName: String] {
    let name = family.architecture
    var texts: [TensorName: String] = [:]
    func set(_ key: String, _ text: String) { texts[TensorName("\(name).\(key)")] = text }
    for setting in settings(name) {
      guard let value = try setting.names.lazy.compactMap({ try config.optional($0) }).first else { continue }
      switch setting.kind {
      case .count: set(setting.key, "u32:\(try value.asInt(in: 0...Int(UInt32.max)))")
      case .number: set(setting.key, "f32:\(Float(try value.asDouble()))")
      case .flag: set(setting.key, "bool:\(try value.asBool())")
      }
    }
    let layers = try config.required("num_hidden_layers").asInt(in: 1...100_000)
    let extra = name == "glm4moe" ? try config.optional("num_nextn_predict_layers")?.asInt(in: 0...1000) ?? 0 : 0
    set("block_count", "u32:\(layers + extra)")
    if let size = try config.optional("head_dim")?.asInt(in: 1...65536) {
      set("attention.key_length", "u32:\(size)")
      set("attention.value_length", "u32:\(size)")
    }
    if name == "glm4moe" { set("expert_gating_func", "u32:2") }
    if name == "bert" { set("attention.causal", "bool:false") }
    try rotary(config, family).forEach { set($0, $1) }
    return texts
  }

  /// What says how positions are rotated.
  private static func rotary(_ config: JSON, _ family: GGUFFamily) throws -> [(String, String)] {
    let table = try config.optional("rope_parameters") ?? config.optional("rope_scaling")
    func value(_ name: String) throws -> JSON? { try table?.optional(name) ?? config.optional(name) }
    var texts: [(String, String)] = []
    if let theta = try value("rope_theta") { texts.append(("rope.freq_base", "f32:\(Float(try theta.asDouble()))")) }
    if let share = family.rotaryShare {
      let size = try GGUFSettings.headSize(config)
      let part = try value("partial_rotary_factor")?.asDouble() ?? share
      guard part > 0, part <= 1 else { throw BessemerError(.config, "partial_rotary_factor is \(part)") }
      texts.append(("rope.dimension_count", "u32:\(Int(Double(size) * part))"))
    }
    let type = try table?.optional("rope_type") ?? table?.optional("type")
    switch try type?.asString() ?? "default" {
    case "default", "llama3": break
    case let type where type == "linear" || type == "yarn":
      texts.append(("rope.scaling.type", type))
      for (name, key) in [
        ("factor", "factor"), ("extrapolation_factor", "yarn_ext_factor"), ("attention_factor", "yarn_attn_factor"),
        ("beta_fast", "yarn_beta_fast"), ("beta_slow", "yarn_beta_slow"),
      ] where type == "yarn" || name == "factor" {
        guard let value = try table?.optional(name) else { continue }
        texts.append(("rope.scaling.\(key)", "f32:\(Float(try value.asDouble()))"))
      }
      if type == "yarn", let count = try value("original_max_position_embeddings") {
        texts.append(("rope.scaling.original_context_length", "u32:\(try count.asInt(in: 1...Int(UInt32.max)))"))
      }
    case let other:
      throw BessemerError(.unsupportedFeature, "rotary scaling of the type \(quoted(other)) is not written to GGUF")
    }
    return texts
  }

  /// Members of config.json that metadata stands for, in the order of the table.
  static func config(_ metadata: GGUFTexts, _ family: GGUFFamily, _ json: inout JSONWriter) throws {
    for setting in settings(family.architecture) where metadata.has(setting.key) {
      let name = setting.key == "expert_count" ? family.expertCount : setting.names[0]
      switch setting.kind {
      case .count: try json.member(name, metadata.count(setting.key))
      case .number: try json.member(name, metadata.number(setting.key))
      case .flag: try json.member(name, metadata.flag(setting.key))
      }
    }
  }

  /// Elements of a head.
  static func headSize(_ config: JSON) throws -> Int {
    if let size = try config.optional("head_dim")?.asInt(in: 1...65536) { return size }
    let heads = try config.required("num_attention_heads").asInt(in: 1...65536)
    return try config.required("hidden_size").asInt(in: 1...(1 << 24)) / heads
  }
}
