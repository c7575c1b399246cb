internal import Tensors

/// A family of models as GGUF files have it: names, and what differs from Hugging Face's layout.
///
/// Sources: llama.cpp's conversion scripts and its tables of names.
struct GGUFFamily: Sendable {
  /// `general.architecture`.
  let architecture: String
  /// `model_type` of config.json.
  let modelType: String
  let className: String
  /// Names without endings such as `.weight`, Hugging Face's first; `{n}` is the number of a layer.
  let names: [(hf: String, gguf: String)]
  /// Whether rotary pairs are neighbours in GGUF files, and halves in Hugging Face's.
  var turnsHeads = false
  /// The last part of the names of experts, by that in GGUF files; none without experts.
  var experts: [(hf: String, gguf: String)] = []
  /// What comes before the number of an expert.
  var expertPrefix = "model.layers.{n}.mlp.experts."
  /// What config.json calls the number of experts.
  var expertCount = "num_experts"
  /// The share of a head that is rotated when config.json does not say; nil when no number of dimensions is stored.
  var rotaryShare: Double?

  /// By architecture.
  static let all: [GGUFFamily] = [
    GGUFFamily(architecture: "bert", modelType: "bert", className: "BertModel", names: bertNames),
    GGUFFamily(
      architecture: "glm4", modelType: "glm4", className: "Glm4ForCausalLM",
      names: base + attention + [
        (layer + "post_attention_layernorm", "blk.{n}.ffn_norm"),
        (layer + "post_self_attn_layernorm", "blk.{n}.post_attention_norm"),
        (layer + "post_mlp_layernorm", "blk.{n}.post_ffw_norm"), (layer + "mlp.gate_up_proj", "blk.{n}.ffn_up"),
        (layer + "mlp.down_proj", "blk.{n}.ffn_down"),
      ], rotaryShare: 0.5),
    GGUFFamily(
      architecture: "glm4moe", modelType: "glm4_moe", className: "Glm4MoeForCausalLM",
      names: base + attention + headNorms + feedForward + [
        (layer + "post_attention_layernorm", "blk.{n}.post_attention_norm"),
        (layer + "mlp.gate", "blk.{n}.ffn_gate_inp"),
        (layer + "mlp.gate.e_score_correction_bias", "blk.{n}.exp_probs_b.bias"),
        (layer + "mlp.shared_experts.gate_proj", "blk.{n}.ffn_gate_shexp"),
        (layer + "mlp.shared_experts.up_proj", "blk.{n}.ffn_up_shexp"),
        (layer + "mlp.shared_experts.down_proj", "blk.{n}.ffn_down_shexp"),
        (layer + "eh_proj", "blk.{n}.nextn.eh_proj"), (layer + "embed_tokens", "blk.{n}.nextn.embed_tokens"),
        (layer + "enorm", "blk.{n}.nextn.enorm"), (layer + "hnorm", "blk.{n}.nextn.hnorm"),
        (layer + "shared_head.head", "blk.{n}.nextn.shared_head_head"),
        (layer + "shared_head.norm", "blk.{n}.nextn.shared_head_norm"),
      ], experts: projections, expertCount: "n_routed_experts", rotaryShare: 0.5),
    GGUFFamily(
      architecture: "llama", modelType: "llama", className: "LlamaForCausalLM",
      names: base + attention + feedNorm + feedForward, turnsHeads: true, rotaryShare: 1),
    GGUFFamily(
      architecture: "llama", modelType: "mistral", className: "MistralForCausalLM",
      names: base + attention + feedNorm + feedForward, turnsHeads: true, rotaryShare: 1),
    GGUFFamily(
      architecture: "llama", modelType: "mixtral", className: "MixtralForCausalLM",
      names: base + attention + feedNorm + [(layer + "block_sparse_moe.gate", "blk.{n}.ffn_gate_inp")],
      turnsHeads: true, experts: [("w1", "ffn_gate_exps"), ("w3", "ffn_up_exps"), ("w2", "ffn_down_exps")],
      expertPrefix: "model.layers.{n}.block_sparse_moe.experts.", expertCount: "num_local_experts", rotaryShare: 1),
    GGUFFamily(
      architecture: "qwen2", modelType: "qwen2", className: "Qwen2ForCausalLM",
      names: base + attention + feedNorm + feedForward),
    GGUFFamily(
      architecture: "qwen2moe", modelType: "qwen2_moe", className: "Qwen2MoeForCausalLM",
      names: base + attention + feedNorm + [
        (layer + "mlp.gate", "blk.{n}.ffn_gate_inp"),
        (layer + "mlp.shared_expert_gate", "blk.{n}.ffn_gate_inp_shexp"),
        (layer + "mlp.shared_expert.gate_proj", "blk.{n}.ffn_gate_shexp"),
        (layer + "mlp.shared_expert.up_proj", "blk.{n}.ffn_up_shexp"),
        (layer + "mlp.shared_expert.down_proj", "blk.{n}.ffn_down_shexp"),
      ], experts: projections),
    GGUFFamily(
      architecture: "qwen3", modelType: "qwen3", className: "Qwen3ForCausalLM",
      names: base + attention + headNorms + feedNorm + feedForward),
    GGUFFamily(
      architecture: "qwen3moe", modelType: "qwen3_moe", className: "Qwen3MoeForCausalLM",
      names: base + attention + headNorms + feedNorm + [(layer + "mlp.gate", "blk.{n}.ffn_gate_inp")],
      experts: projections),
  ]

  private static let layer = "model.layers.{n}."
  private static let base = [
    ("model.embed_tokens", "token_embd"), ("model.norm", "output_norm"), ("lm_head", "output"),
    (layer + "input_layernorm", "blk.{n}.attn_norm"),
  ]
  private static let attention = [
    (layer + "self_attn.q_proj", "blk.{n}.attn_q"), (layer + "self_attn.k_proj", "blk.{n}.attn_k"),
    (layer + "self_attn.v_proj", "blk.{n}.attn_v"), (layer + "self_attn.o_proj", "blk.{n}.attn_output"),
  ]
  private static let headNorms = [
    (layer + "self_attn.q_norm", "blk.{n}.attn_q_norm"), (layer + "self_attn.k_norm", "blk.{n}.attn_k_norm"),
  ]
  private static let feedNorm = [(layer + "post_attention_layernorm", "blk.{n}.ffn_norm")]
  private static let feedForward = [
    (layer + "mlp.gate_proj", "blk.{n}.ffn_gate"), (layer + "mlp.up_proj", "blk.{n}.ffn_up"),
    (layer + "mlp.down_proj", "blk.{n}.ffn_down"),
  ]
  private static let projections = [
    ("gate_proj", "ffn_gate_exps"), ("up_proj", "ffn_up_exps"), ("down_proj", "ffn_down_exps"),
  ]
  private static let bertNames: [(hf: String, gguf: String)] = [
    ("embeddings.word_embeddings", "token_embd"), ("embeddings.position_embeddings", "position_embd"),
    ("embeddings.token_type_embeddings", "token_types"), ("embeddings.LayerNorm", "token_embd_norm"),
    ("encoder.layer.{n}.attention.self.query", "blk.{n}.attn_q"),
    ("encoder.layer.{n}.attention.self.key", "blk.{n}.attn_k"),
    ("encoder.layer.{n}.attention.self.value", "blk.{n}.attn_v"),
    ("encoder.layer.{n}.attention.output.dense", "blk.{n}.attn_output"),
    ("encoder.layer.{n}.attention.output.LayerNorm", "blk.{n}.attn_output_norm"),
    ("encoder.layer.{n}.intermediate.dense", "blk.{n}.ffn_up"),
    ("encoder.layer.{n}.output.dense", "blk.{n}.ffn_down"),
    ("encoder.layer.{n}.output.LayerNorm", "blk.{n}.layer_output_norm"),
  ]
}

extension GGUFFamily {
  /// The family of a GGUF file with these names of tensors; nil for one that is not known.
  static func family(architecture: String, names: some Sequence<TensorName>) -> GGUFFamily? {
    let found = all.filter { $0.architecture == architecture }
    guard found.count > 1 else { return found.first }
    // Of the models that llama.cpp takes for Llama, only Mixtral has experts.
    let hasExperts = names.contains { $0.string.hasSuffix("_exps.weight") }
    return found.first { $0.experts.isEmpty != hasExperts }
  }

  /// Rules from Hugging Face's names to GGUF's, for these tensors. Throws ``ErrorCode/weights`` with all tensors that
  /// the family does not have.
  func rules(toGGUF entries: [TensorStore.Entry], _ heads: (queries: Int, keys: Int)) throws -> [MapRule] {
    var table = Table(rules: [])
    for entry in entries {
      let name = entry.name.string
      if dropsName(name) {
        table.rules.append(try MapRule(.drop, [MapPattern.literal(name)]))
      } else if !experts.isEmpty, name.contains("experts."), !name.contains("shared_expert") {
        continue
      } else if let new = translated(name, from: { $0.hf }, to: { $0.gguf }) {
        try table.add(action(new, heads, .interleave), name, new)
      } else {
        table.unknown.append(name)
      }
    }
    try table.checkAllKnown("models of type \(modelType)")
    return try table.rules + expertRules(entries.map(\.name.string))
  }

  /// The rules back.
  func rules(fromGGUF entries: [TensorStore.Entry], _ heads: (queries: Int, keys: Int)) throws -> [MapRule] {
    var table = Table(rules: [])
    for entry in entries {
      let name = entry.name.string
      if name == GGUFFamily.ropeName {
        table.rules.append(try MapRule(.drop, [name]))
      } else if let expert = experts.first(where: { name.hasSuffix(".\($0.gguf).weight") }),
        let layer = GGUFFamily.number(after: "blk.", in: name)
      {
        guard entry.shape.count == 3, entry.shape[0] <= GGUFFamily.maximumExpertCount else {
          throw BessemerError(
            .weights,
            "tensor \(quoted(name)) is \(entry.type), expected at most \(GGUFFamily.maximumExpertCount) experts")
        }
        let to = expertPrefix.replacing("{n}", with: layer) + "{e}.\(expert.hf).weight"
        table.rules.append(try MapRule(.unstack(axis: 0), [name], to: [to], over: "e"))
      } else if let new = translated(name, from: { $0.gguf }, to: { $0.hf }) {
        try table.add(action(name, heads, .deinterleave), name, new)
      } else {
        table.unknown.append(name)
      }
    }
    try table.checkAllKnown("files of the architecture \(architecture)")
    return table.rules
  }

  /// Whether GGUF files have a tensor of this name.
  func knows(gguf name: String) -> Bool { translated(name, from: { $0.gguf }, to: { $0.hf }) != nil }

  /// Experts of a layer.
  static let maximumExpertCount = 4096

  /// Factors by which the frequencies of Llama 3 are divided.
  static let ropeName = "rope_freqs.weight"

  private struct Table {
    var rules: [MapRule]
    var unknown: [String] = []

    mutating func add(_ action: MapRule.Action, _ name: String, _ new: String) throws {
      rules.append(try MapRule(action, [MapPattern.literal(name)], to: [MapPattern.literal(new)]))
    }

    func checkAllKnown(_ what: String) throws {
      guard let first = unknown.first else { return }
      let others = unknown.count > 1 ? " and \(unknown.count - 1) more" : ""
      throw BessemerError(
        .weights, "tensor \(quoted(first))\(others) has no name in \(what); pass --keep-names to leave all as they are",
        details: unknown.map { "tensor \(quoted($0))" })
    }
  }

  private enum Turn { case interleave, deinterleave }

  /// What is done to a tensor besides renaming, by its name in GGUF files.
  private func action(_ name: String, _ heads: (queries: Int, keys: Int), _ turn: Turn) -> MapRule.Action {
    guard turnsHeads else { return .rename }
    for (part, count) in [("attn_q", heads.queries), ("attn_k", heads.keys)]
    where name.hasSuffix(".\(part).weight") || name.hasSuffix(".\(part).bias") {
      return turn == .interleave ? .interleave(heads: count) : .deinterleave(heads: count)
    }
    return .rename
  }

  /// What GGUF files leave out: what is no weight, and heads that llama.cpp does not run.
  private func dropsName(_ name: String) -> Bool {
    if name.hasSuffix(".rotary_emb.inv_freq") || name.hasSuffix(".attention.masked_bias") { return true }
    guard architecture == "bert" else { return false }
    let plain = name.hasPrefix("bert.") ? String(name.dropFirst(5)) : name
    return plain == "embeddings.position_ids" || plain.hasPrefix("pooler.dense.") || plain.hasPrefix("cls.")
  }

  /// The name in the other column of the table.
  private func translated(
    _ name: String, from: ((hf: String, gguf: String)) -> String, to: ((hf: String, gguf: String)) -> String
  ) -> String? {
    var name = name
    if architecture == "bert" {
      if name.hasPrefix("bert.") { name.removeFirst(5) }
      for (old, new) in [(".gamma", ".weight"), (".beta", ".bias")] where name.hasSuffix(old) {
        name = name.dropLast(old.count) + new
      }
    }
    let numbered = name.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
    let number = numbered.first { !$0.isEmpty && $0.utf8.allSatisfy { (0x30...0x39).contains($0) } }
    let pattern = numbered.map { $0 == number ? "{n}" : $0 }.joined(separator: ".")
    for ending in ["", ".weight", ".bias"] where pattern.hasSuffix(ending) {
      let stem = String(pattern.dropLast(ending.count))
      guard let pair = names.first(where: { from($0) == stem }) else { continue }
      // Only a name that is whole in the table may do without an ending.
      guard !ending.isEmpty || stem.hasSuffix("bias") else { continue }
      return (to(pair) + ending).replacing("{n}", with: number ?? "")
    }
    return nil
  }

  /// The experts of each layer become one tensor each way; those that are one already lose nothing but their names.
  private func expertRules(_ names: [String]) throws -> [MapRule] {
    guard !experts.isEmpty else { return [] }
    var rules: [MapRule] = []
    for (hf, gguf) in experts {
      rules.append(
        try MapRule(
          .stack(axis: 0), [expertPrefix + "{e}.\(hf).weight"], to: ["blk.{n}.\(gguf).weight"], over: "e",
          isOptional: true))
    }
    // Transformers 5 stores gate and up of all experts as one.
    rules.append(
      try MapRule(
        .split(axis: 1, .count(2)), [expertPrefix + "gate_up_proj"],
        to: ["blk.{n}.ffn_gate_exps.weight", "blk.{n}.ffn_up_exps.weight"], isOptional: true))
    rules.append(
      try MapRule(.rename, [expertPrefix + "down_proj"], to: ["blk.{n}.ffn_down_exps.weight"], isOptional: true))
    return rules
  }

  /// The digits that follow a prefix.
  private static func number(after prefix: String, in name: String) -> String? {
    guard name.hasPrefix(prefix) else { return nil }
    let digits = name.dropFirst(prefix.count).prefix { ("0"..."9").contains($0) }
    return digits.isEmpty ? nil : String(digits)
  }
}
