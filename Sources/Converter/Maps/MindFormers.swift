internal import Tensors

/// The names and layouts of mindformers' models (its `mcore` ones), from and to those of Hugging Face.
///
/// Three maps lead there: names alone; the layout that training reads, where queries, keys and values of a group, and
/// the rows of gate and up, take turns, so that shards of ranks are joined by their rows; and the layout that inference
/// has on one rank, where they follow each other. Source: mindformers 2.1, `weight_mapping` of the models,
/// `checkpoint/converter/convert_op.py`, `parallel_core/inference`.
enum MindFormers {
  static let maps = [
    WeightMap("hf-to-mindformers", "names of mindformers' models", inverse: "mindformers-to-hf") {
      try forward($0, nil)
    },
    WeightMap(
      "hf-to-mindformers-inference", "mindformers' names, and fused tensors as inference has them",
      inverse: "mindformers-inference-to-hf"
    ) { try forward($0, .inference) },
    WeightMap(
      "hf-to-mindformers-training", "mindformers' names, and fused tensors as training has them",
      inverse: "mindformers-training-to-hf"
    ) { try forward($0, .training) },
    WeightMap(
      "mindformers-inference-to-hf", "Hugging Face's names and tensors, from mindformers' for inference",
      inverse: "hf-to-mindformers-inference"
    ) { try backward($0, .inference) },
    WeightMap("mindformers-to-hf", "Hugging Face's names, from mindformers'", inverse: "hf-to-mindformers") {
      try backward($0, nil)
    },
    WeightMap(
      "mindformers-training-to-hf", "Hugging Face's names and tensors, from mindformers' for training",
      inverse: "hf-to-mindformers-training"
    ) { try backward($0, .training) },
  ]

  private static func forward(_ subject: WeightMap.Subject, _ layout: MindFormersLayout.Kind?) throws -> [MapRule] {
    let fused = try layout.map { try MindFormersLayout($0, subject).fusions() } ?? []
    return try prediction(subject, isForward: true) + renames(names) + fused
  }

  private static func backward(_ subject: WeightMap.Subject, _ layout: MindFormersLayout.Kind?) throws -> [MapRule] {
    let parted = try layout.map { try MindFormersLayout($0, subject).fissions() } ?? []
    // Two of Hugging Face's names for one: the norm of queries is that of latent attention where there is such.
    let isLatent = subject.entries.contains { $0.name.string.contains(".linear_q_down_proj.") }
    let table = names.filter { $0.0 != (isLatent ? ".self_attn.q_norm." : ".self_attn.q_a_layernorm.") }
    return try parted + renames(table.reversed().map { ($0.1, $0.0) }) + prediction(subject, isForward: false)
  }

  /// DeepSeek's layer that predicts a second token, which follows the others in Hugging Face's numbering. Its copies of
  /// the embedding and of the head have no place of their own in mindformers.
  private static func prediction(_ subject: WeightMap.Subject, isForward: Bool) throws -> [MapRule] {
    guard let config = subject.config, config["model_type"]?.string == "deepseek_v3",
      let count = config["num_hidden_layers"]?.int, config["num_nextn_predict_layers"]?.int ?? 0 > 0
    else { return [] }
    let layer = "model.layers.\(count)."
    let table =
      ["enorm.", "hnorm.", "eh_proj."].map { (layer + $0, "decoder." + $0) } + [(layer, "decoder.transformer.")]
    guard isForward else { return try renames(table.map { ($0.1, $0.0) }) }
    return try [MapRule(.drop, [layer + "embed_tokens.*", layer + "shared_head.*"], isOptional: true)] + renames(table)
  }

  /// Texts in names, in the order in which they are replaced; those without a dot in front only at the start.
  private static let names = [
    ("model.embed_tokens.", "embedding.word_embeddings."),
    (".self_attn.q_a_proj.", ".self_attention.linear_q_down_proj."),
    (".self_attn.q_a_layernorm.", ".self_attention.q_layernorm."),
    (".self_attn.q_b_proj.", ".self_attention.linear_q_up_proj."),
    (".self_attn.kv_a_proj_with_mqa.", ".self_attention.linear_kv_down_proj."),
    (".self_attn.kv_a_layernorm.", ".self_attention.kv_layernorm."),
    (".self_attn.kv_b_proj.", ".self_attention.linear_kv_up_proj."),
    (".self_attn.q_proj.", ".self_attention.linear_q."),
    (".self_attn.k_proj.", ".self_attention.linear_k."),
    (".self_attn.v_proj.", ".self_attention.linear_v."),
    (".self_attn.o_proj.", ".self_attention.linear_proj."),
    (".self_attn.q_norm.", ".self_attention.q_layernorm."),
    (".self_attn.k_norm.", ".self_attention.k_layernorm."),
    (".mlp.gate_up_proj.", ".mlp.linear_fc1."),
    (".mlp.gate.weight", ".mlp.router.weight"),
    (".mlp.gate.e_score_correction_bias", ".mlp.router.expert_bias"),
    (".gate_proj.", ".gating."),
    (".up_proj.", ".hidden."),
    (".down_proj.", ".linear_fc2."),
    (".post_attention_layernorm.", ".pre_mlp_layernorm."),
    ("model.norm.", "decoder.final_layernorm."),
    ("lm_head.", "output_layer."),
    ("model.layers.", "decoder.layers."),
  ]

  private static func renames(_ table: [(String, String)]) throws -> [MapRule] {
    try table.map { old, new in
      let start = old.hasPrefix(".") ? "*" : ""
      let end = old.hasSuffix(".") ? "*" : ""
      return try MapRule(.rename, [start + old + end], to: [start + new + end], isOptional: true)
    }
  }
}
