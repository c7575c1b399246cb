internal import Checkpoints
internal import IR
internal import Tensors

/// A model's folder on its way into a GGUF file that llama.cpp runs.
struct GGUFExport {
  let family: GGUFFamily
  private let folder: String
  private let files: ModelFiles
  private let config: JSON

  /// The export of a folder whose config.json names a family that GGUF files have; nil for any other input.
  init?(_ input: String) throws {
    let location = try ModelLocation(input)
    guard case .folder(let folder) = location, try InputFolder(path: folder).contains("config.json") else { return nil }
    files = try ModelFiles(folder: folder)
    guard let config = try files.json("config.json"), let type = config["model_type"]?.string,
      let family = GGUFFamily.all.first(where: { $0.modelType == type })
    else { return nil }
    self.family = family
    self.folder = folder
    self.config = config
  }

  /// The tensors under GGUF's names. Throws ``ErrorCode/weightMap`` or ``ErrorCode/weights``.
  func tensors(_ store: TensorStore) throws -> [MapEngine.Item] {
    let path = folder + "/config.json"
    try inFile(path) { try refuseWhatIsLost() }
    let heads = try inFile(path) { try self.heads() }
    var engine = MapEngine(store)
    try engine.apply(try family.rules(toGGUF: store.entries, heads))
    try MapFile.report(engine.problems)
    var items = engine.result
    if items.contains(where: { $0.name == "output.weight" }),
      try config.optional("tie_word_embeddings")?.asBool() ?? false
    {
      throw BessemerError(.weights, "config.json ties the output to the embeddings, but the weights have both")
    }
    if let factors = try inFile(path, { try ropeFactors() }) {
      var store = TensorStore()
      try store.append(TensorName(GGUFFamily.ropeName), factors)
      items += MapEngine(store).result
    }
    return items
  }

  /// Whether llama.cpp needs a tensor as float32, by its name there.
  static func isExact(_ name: TensorName, _ shape: [Int]) -> Bool {
    let name = name.string
    return shape.count <= 1 || name.hasSuffix("_norm.weight") || !name.hasSuffix(".weight")
      || [".ffn_gate_inp.weight", ".ffn_gate_inp_shexp.weight"].contains(where: name.hasSuffix)
      || ["position_embd.weight", "token_types.weight"].contains(name)
  }

  /// The metadata for these tensors of the output.
  func metadata(_ tensors: [(name: TensorName, shape: [Int], type: String)]) throws -> [TensorName: String] {
    var texts = try inFile(folder + "/config.json") { try GGUFSettings.metadata(config, family) }
    texts["general.architecture"] = family.architecture
    texts["general.type"] = "model"
    texts["general.name"] = GGUFText.text(of: GGUFExport.title(folder))
    texts["general.size_label"] = GGUFExport.sizeLabel(tensors)
    texts["general.file_type"] = "u32:\(GGUFExport.fileType(tensors))"
    texts["general.quantization_version"] = "u32:2"
    texts.merge(try GGUFVocabulary.metadata(files, config, family)) { $1 }
    if family.architecture == "bert" {
      let count = try config.optional("type_vocab_size")?.asInt(in: 1...65536) ?? 1
      texts["tokenizer.ggml.token_type_count"] = "u32:\(count)"
    }
    if let pooling = try pooling() { texts[TensorName("\(family.architecture).pooling_type")] = "u32:\(pooling)" }
    return texts
  }

  private func heads() throws -> (queries: Int, keys: Int) {
    let queries = try config.required("num_attention_heads").asInt(in: 1...65536)
    return (queries, try config.optional("num_key_value_heads")?.asInt(in: 1...65536) ?? queries)
  }

  /// Throws for what llama.cpp would compute otherwise, as no metadata says it.
  private func refuseWhatIsLost() throws {
    func refuse(_ what: String) -> BessemerError {
      BessemerError(
        .unsupportedFeature,
        "\(what), which GGUF files of the architecture \(family.architecture) cannot say; pass --keep-names to write "
          + "the tensors alone")
    }
    if try config.optional("use_sliding_window")?.asBool() ?? false { throw refuse("use_sliding_window is true") }
    let act = try config.optional("hidden_act")?.asString() ?? "silu"
    let acts = family.architecture == "bert" ? ["gelu"] : ["silu"]
    guard acts.contains(act) || family.architecture == "bert" && act == "silu" else {
      throw refuse("hidden_act is \(quoted(act))")
    }
    let normalizes = try config.optional("norm_topk_prob")?.asBool()
    if let normalizes, ["qwen2moe": true, "qwen3moe": false][family.architecture] == normalizes {
      throw refuse("norm_topk_prob is \(normalizes)")
    }
  }

  /// By what the frequencies of Llama 3 are divided, in float32 as PyTorch computes them; nil without such scaling.
  private func ropeFactors() throws -> Tensor? {
    guard let table = try config.optional("rope_parameters") ?? config.optional("rope_scaling"),
      try (table.optional("rope_type") ?? table.optional("type"))?.asString() == "llama3"
    else { return nil }
    let theta = try (table.optional("rope_theta") ?? config.optional("rope_theta"))?.asDouble() ?? 10000
    let scaling = Llama3Scaling(
      factor: try table.optional("factor")?.asDouble() ?? 8,
      low: try table.optional("low_freq_factor")?.asDouble() ?? 1,
      high: try table.optional("high_freq_factor")?.asDouble() ?? 4,
      positions: try table.optional("original_max_position_embeddings")?.asDouble() ?? 8192)
    let factors = scaling.factors(theta: theta, headSize: try GGUFSettings.headSize(config))
    return try Tensor(.float32, shape: [factors.count], doubles: factors.map { Double($0) })
  }

  /// How vectors of tokens become one, as sentence-transformers say it beside the model.
  private func pooling() throws -> Int? {
    guard let json = try files.json("1_Pooling/config.json") else { return nil }
    let modes = [("mean_tokens", 1), ("cls_token", 2), ("lasttoken", 3)]
    return try modes.first { try json.optional("pooling_mode_\($0.0)")?.asBool() ?? false }?.1
  }

  // MARK: Names for people

  /// The folder's name as a title: `tiny-llama` is `Tiny Llama`.
  private static func title(_ folder: String) -> String {
    let real = realPath(folder) ?? folder
    let name = real.utf8.lastIndex(of: UInt8(ascii: "/")).map { String(real[real.utf8.index(after: $0)...]) } ?? real
    return name.split(whereSeparator: { $0 == "-" || $0 == " " }).map { word in
      guard word == word.lowercased(), word.first?.isNumber != true else { return String(word) }
      // Each run of letters starts with a capital.
      var startsWord = true
      return String(
        word.map { character -> Character in
          defer { startsWord = !character.isLetter }
          return startsWord ? Character(character.uppercased()) : character
        })
    }.joined(separator: " ")
  }

  /// The number of parameters: `8B`, or `8x7B` with experts.
  private static func sizeLabel(_ tensors: [(name: TensorName, shape: [Int], type: String)]) -> String {
    var (total, shared, one, experts, count) = (0, 0, 0, 0, 0)
    for (name, shape, _) in tensors {
      let size = shape.reduce(1, *)
      total += size
      if name.string.contains("_exps."), shape.count >= 3 {
        one += size / max(1, shape[0])
        experts += shape[0]
        count += 1
      } else {
        shared += size
      }
    }
    return count > 0 ? "\(experts / count)x\(rounded(shared + one))" : rounded(total)
  }

  private static func rounded(_ count: Int) -> String {
    let (scale, suffix) =
      count > 1_000_000_000_000
      ? (1e12, "T")
      : count > 1_000_000_000
        ? (1e9, "B")
        : count > 1_000_000 ? (1e6, "M") : (1e3, "K")
    let scaled = Double(count) / scale
    guard scaled.rounded(.toNearestOrEven) < 10 else { return "\(Int(scaled.rounded(.toNearestOrEven)))\(suffix)" }
    let tenths = Int((scaled * 10).rounded(.toNearestOrEven))
    return "\(tenths / 10).\(tenths % 10)\(suffix)"
  }

  /// llama.cpp's number for the type that most numbers have.
  private static func fileType(_ tensors: [(name: TensorName, shape: [Int], type: String)]) -> Int {
    var counts: [String: Int] = [:]
    for (_, shape, type) in tensors where shape.count > 1 { counts[type, default: 0] += shape.reduce(1, *) }
    let most = counts.max { ($0.value, $1.key) < ($1.value, $0.key) }?.key ?? "f32"
    return [
      "f32": 0, "f16": 1, "q4_0": 2, "q4_1": 3, "q8_0": 7, "q5_0": 8, "q5_1": 9, "q2_k": 10, "q3_k": 12, "q4_k": 15,
      "q5_k": 17, "q6_k": 18, "bf16": 32,
    ][most] ?? 1024
  }
}

/// How Llama 3 stretches its rotary frequencies.
struct Llama3Scaling: Equatable {
  let factor: Double
  let low: Double
  let high: Double
  let positions: Double

  /// By what each frequency is divided: computed as PyTorch does, in float32 with the wave length in double precision.
  func factors(theta: Double, headSize: Int) -> [Float] {
    (0..<headSize / 2).map { pair in
      let exponent = Float(2 * pair) / Float(headSize)
      let frequency = 1 / Float(raised(theta, Double(exponent)))
      let wave = Float(2 * Double.pi) / frequency
      if Double(wave) < positions / high { return 1 }
      if Double(wave) > positions / low { return Float(factor) }
      let smooth = (Float(positions) / wave - Float(low)) / Float(high - low)
      return 1 / ((1 - smooth) / Float(factor) + smooth)
    }
  }
}
