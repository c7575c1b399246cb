internal import Checkpoints
internal import Tensors

/// A GGUF file on its way into a model's folder as Hugging Face lays it out.
struct GGUFImport {
  let family: GGUFFamily
  private let store: TensorStore
  private let texts: GGUFTexts

  /// The import of a GGUF file of a known family; nil for any other.
  init?(_ store: TensorStore) {
    guard let text = store.metadata["general.architecture"],
      let family = GGUFFamily.family(
        architecture: GGUFText.string(ofText: text), names: store.entries.lazy.map(\.name))
    else { return nil }
    self.family = family
    self.store = store
    texts = GGUFTexts(metadata: store.metadata, architecture: family.architecture)
  }

  /// Whether none of the tensors is one of the family.
  var knowsNoName: Bool { !store.entries.contains { family.knows(gguf: $0.name.string) } }

  /// The tensors under Hugging Face's names.
  func tensors() throws -> [MapEngine.Item] {
    let queries = try texts.count("attention.head_count")
    let keys = texts.has("attention.head_count_kv") ? try texts.count("attention.head_count_kv") : queries
    var engine = MapEngine(store)
    try engine.apply(try family.rules(fromGGUF: store.entries, (queries, keys)))
    try MapFile.report(engine.problems)
    return engine.result
  }

  /// What the weights' files keep of the metadata: all but what the files beside them say.
  var metadata: [TensorName: String] {
    var kept = store.metadata.filter { !$0.key.string.hasPrefix("tokenizer.") }
    kept["format"] = "pt"
    return kept
  }

  /// The files that belong beside the weights: the configuration, and the tokenizer if there is one.
  func files() throws -> [(name: String, bytes: [UInt8])] {
    var files = [("config.json", try config())]
    files += try GGUFTokenizerFile(texts)?.files(family) ?? []
    return files
  }

  private func shape(_ name: String) throws -> [Int] {
    guard let entry = store[TensorName(name)] else {
      throw BessemerError(.weights, "the file lacks tensor \(quoted(name))")
    }
    return entry.shape
  }

  private func has(_ part: String) -> Bool { store.entries.contains { $0.name.string.contains(".\(part).") } }

  private func config() throws -> [UInt8] {
    let name = family.architecture
    let extra = texts.has("nextn_predict_layers") ? try texts.count("nextn_predict_layers") : 0
    let layers = try texts.count("block_count")
    guard extra <= layers else { throw BessemerError(.config, "\(extra) of \(layers) layers predict further tokens") }
    let rows = try shape("token_embd.weight")
    guard rows.count == 2 else { throw BessemerError(.weights, "tensor \"token_embd.weight\" is no matrix") }
    let rotary = name == "bert" ? nil : try self.rotary()
    var json = JSONWriter()
    try json.object { json in
      json.array("architectures", [family.className])
      json.member("model_type", family.modelType)
      json.member("num_hidden_layers", layers - extra)
      try GGUFSettings.config(texts, family, &json)
      if !texts.has("vocab_size") { json.member("vocab_size", rows[0]) }
      if name == "bert" {
        json.member("hidden_act", "gelu")
        json.member("type_vocab_size", try shape("token_types.weight")[0])
      } else {
        json.member("hidden_act", "silu")
        if texts.has("attention.key_length") { json.member("head_dim", try headSize()) }
        json.member("tie_word_embeddings", store["output.weight"] == nil)
        if !name.hasPrefix("qwen2") { json.member("attention_bias", bias("attn_q")) }
        if name == "llama", family.experts.isEmpty { json.member("mlp_bias", bias("ffn_gate")) }
        if name == "glm4moe" { json.member("use_qk_norm", has("attn_q_norm")) }
        if name == "qwen3moe" { json.member("norm_topk_prob", true) }
        if name == "qwen2moe" { json.member("norm_topk_prob", false) }
        if let rotary { json.object("rope_parameters") { rotary(&$0) } }
      }
      // GLM's texts begin with two tokens, and BERT's with one of another name: neither is said here.
      let hasFirst = name != "bert" && !name.hasPrefix("glm")
      for (word, _) in GGUFSpecialTokens.roles.prefix(5) where word != "eos" && (word != "bos" || hasFirst) {
        if let id = tokenID(word) { json.member("\(word)_token_id", id) }
      }
      // The ends of a turn and of a message end a text too.
      let ends = name == "bert" ? [] : ["eos", "eot", "eom"].compactMap(tokenID)
      if ends.count == 1 { json.member("eos_token_id", ends[0]) }
      if ends.count > 1 { json.array("eos_token_id", ends) }
    }
    return json.utf8 + [UInt8(ascii: "\n")]
  }

  private func tokenID(_ word: String) -> Int? {
    let key = GGUFSpecialTokens.roles.first { $0.word == word }?.key ?? word
    return store.metadata[TensorName("tokenizer.ggml.\(key)_token_id")].flatMap(GGUFText.integer)
  }

  private func bias(_ part: String) -> Bool { store[TensorName("blk.0.\(part).bias")] != nil }

  private func headSize() throws -> Int {
    if texts.has("attention.key_length") { return try texts.count("attention.key_length") }
    let heads = try texts.count("attention.head_count")
    guard heads > 0 else { throw BessemerError(.config, "attention.head_count is 0") }
    return try texts.count("embedding_length") / heads
  }

  /// Writes what says how positions are rotated.
  private func rotary() throws -> (_ json: inout JSONWriter) -> Void {
    let theta = texts.has("rope.freq_base") ? try texts.number("rope.freq_base") : 10000
    let head = try headSize()
    let size = texts.has("rope.dimension_count") ? try texts.count("rope.dimension_count") : head
    let scaling = try self.scaling(theta, head)
    return { json in
      json.member("rope_theta", theta)
      if size != head { json.member("partial_rotary_factor", Double(size) / Double(head)) }
      scaling(&json)
    }
  }

  private func scaling(_ theta: Double, _ head: Int) throws -> (_ json: inout JSONWriter) -> Void {
    if let entry = store[TensorName(GGUFFamily.ropeName)] {
      let factors = try entry.tensor().doubles.map { Float($0) }
      guard let found = Llama3Scaling.recognize(factors, theta: theta, headSize: head) else {
        throw BessemerError(
          .unsupportedFeature, "the factors in \(quoted(GGUFFamily.ropeName)) are not those of Llama 3 for any setting")
      }
      return { json in
        json.member("rope_type", "llama3")
        json.member("factor", found.factor)
        json.member("low_freq_factor", found.low)
        json.member("high_freq_factor", found.high)
        json.member("original_max_position_embeddings", Int(found.positions))
      }
    }
    let type = texts.string("rope.scaling.type") ?? "none"
    guard ["none", "linear", "yarn"].contains(type) else {
      throw BessemerError(.unsupportedFeature, "rotary scaling of the type \(quoted(type)) is not read")
    }
    guard type != "none" else { return { $0.member("rope_type", "default") } }
    var numbers: [(String, Double)] = []
    for (key, name) in [
      ("factor", "factor"), ("yarn_ext_factor", "extrapolation_factor"), ("yarn_attn_factor", "attention_factor"),
      ("yarn_beta_fast", "beta_fast"), ("yarn_beta_slow", "beta_slow"),
      ("original_context_length", "original_max_position_embeddings"),
    ] where texts.has("rope.scaling.\(key)") { numbers.append((name, try texts.number("rope.scaling.\(key)"))) }
    return { json in
      json.member("rope_type", type)
      for (name, value) in numbers { json.member(name, value) }
    }
  }
}

extension Llama3Scaling {
  /// The scaling that gives these factors: low and high are those of all published models.
  static func recognize(_ factors: [Float], theta: Double, headSize: Int) -> Llama3Scaling? {
    guard let most = factors.max() else { return nil }
    for power in 3...20 {
      let scaling = Llama3Scaling(factor: Double(most), low: 1, high: 4, positions: Double(1 << power))
      let expected = scaling.factors(theta: theta, headSize: headSize)
      // Powers are not computed alike everywhere: the last bits may differ.
      if expected.count == factors.count, zip(expected, factors).allSatisfy({ abs($0 - $1) <= 1e-5 * abs($1) }) {
        return scaling
      }
    }
    return nil
  }
}
