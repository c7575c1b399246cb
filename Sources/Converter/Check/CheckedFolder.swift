internal import Safetensors
internal import Tensors

/// A package's folder as programs see it that load every safetensors file in it.
struct CheckedFolder {
  /// A linear layer that the description speaks of.
  struct Layer {
    let module: String
    /// What the description says of its weight.
    let type: String
  }

  let path: String
  let names: [String]
  /// Nil without config.json.
  let config: JSON?
  /// Files of the name `quant_model_description*.json`.
  let descriptions: [String]
  /// What the first of them, or the one of the exact name, says.
  let description: JSON?
  private(set) var tensors: [TensorName: TensorStore.Entry] = [:]
  private(set) var problems: [PackageCheck.Problem] = []

  /// Reads headers. A file that cannot be read is a problem of its own.
  init(_ path: String) throws {
    self.path = path
    let folder = try InputFolder(path: path)
    let names = try folder.names()
    self.names = names
    func json(_ name: String) throws -> JSON? {
      guard names.contains(name) else { return nil }
      let file = try folder.open(name, links: .followed)
      let bytes = try file.readAll(limit: ModelFiles.maximumByteCount)
      return try inFile(file.path) {
        try JSON.parse(bytes, limits: JSON.Limits(stringByteCount: 1 << 24, nodeCount: 1 << 23))
      }
    }
    config = try json("config.json")
    descriptions = names.filter { $0.hasPrefix("quant_model_description") && $0.hasSuffix(".json") }
    let exact = descriptions.first { $0 == "quant_model_description.json" } ?? descriptions.first
    description = try exact.flatMap(json)
    for name in names where name.hasSuffix(".safetensors") {
      do {
        for entry in try SafetensorsFile(folder.open(name, links: .followed)).store().entries {
          if let other = tensors.updateValue(entry, forKey: entry.name) {
            add(
              "tensor-twice", entry.name.string, "is in \(lastName(other.file)) and in \(name)",
              "remove the file that does not belong to the package")
          }
        }
      } catch let error as BessemerError {
        add("file-unreadable", name, "\(error)", "write or fetch the file again")
      }
    }
  }

  private func lastName(_ path: String) -> String { path.split(separator: "/").last.map(String.init) ?? path }

  mutating func add(_ code: String, _ place: String, _ message: String, _ fix: String) {
    problems.append(PackageCheck.Problem(code: code, place: place, message: message, fix: fix))
  }

  /// What is added to a package's names and stands in no description.
  private static let undescribed = ["heads_rotation", "kronecker_rotation_m", "kronecker_rotation_n"]
  /// What the description says beside the tensors.
  private static let keys: Set<String> = [
    "version", "model_quant_type", "group_size", "metadata", "optional", "kv_cache_type", "kv_quant_type",
    "fa_quant_type", "reduce_quant_type",
  ]

  /// The types of tensors by name.
  var types: [(name: String, type: String)] {
    description?.members.compactMap { key, value in
      let key = String(key)
      guard let type = value.string, !CheckedFolder.keys.contains(key), !key.hasSuffix(".quant_type") else {
        return nil
      }
      return (key, type)
    } ?? []
  }

  var layers: [Layer] {
    types.filter { $0.name.hasSuffix(".weight") && $0.type != "FLOAT" }
      .map { Layer(module: String($0.name.dropLast(7)), type: $0.type) }
  }

  var groupSize: Int { description.flatMap { $0["group_size"] }.flatMap { try? $0.asInt() } ?? 0 }

  func integer(_ key: String) -> Int? {
    let text = config?["text_config"]
    return [config, text].compactMap { $0?[key] }.compactMap { try? $0.asInt() }.first
  }

  var modelType: String { config?["model_type"]?.string ?? "" }
  /// Whether the model computes in bfloat16; nil where nothing says it.
  var isBFloat16: Bool? {
    let holders = [config, config?["text_config"]].compactMap { $0 }
    let word = holders.compactMap { ($0["dtype"] ?? $0["torch_dtype"])?.string }.first
    return word.map { $0.hasSuffix("bfloat16") }
  }

  /// What holds for every program: the files belong together, and the description and the tensors to each other.
  mutating func checkFiles() {
    if config == nil { add("config-missing", "config.json", "is missing", "copy it from the model") }
    if !names.contains(where: { $0.hasPrefix("tokenizer") || $0.hasPrefix("vocab") || $0.hasSuffix(".model") }) {
      add("tokenizer-missing", path, "holds no tokenizer", "copy the tokenizer's files from the model")
    }
    if description == nil {
      add(
        "description-missing", path, "holds no quant_model_description.json",
        "quantize the model, or keep the description beside the weights")
    }
    let described = Set(types.map(\.name))
    for (name, type) in types where tensors[TensorName(name)] == nil {
      add("tensor-missing", name, "is described as \(type), but no file holds it", "write the package again")
    }
    for name in tensors.keys.sorted() where description != nil && !described.contains(name.string) {
      guard !CheckedFolder.undescribed.contains(where: { name.string.hasSuffix($0) }) else { continue }
      add("type-missing", name.string, "has no type in the description", "add it, FLOAT if it keeps its values")
    }
    checkIndices()
    checkCompleteness()
  }

  /// Indices name what is there, and nothing of the float model is left.
  private mutating func checkIndices() {
    for name in names where name.hasSuffix(".safetensors.index.json") {
      guard let folder = try? InputFolder(path: path), let file = try? folder.open(name, links: .followed),
        let bytes = try? file.readAll(limit: ModelFiles.maximumByteCount), let json = try? JSON.parse(bytes),
        let map = json["weight_map"]
      else {
        add("index-unreadable", name, "is no index of shards", "write the package again")
        continue
      }
      let files = Set(map.members.compactMap { $0.value.string })
      for missing in files.sorted() where !names.contains(missing) {
        add(
          "shard-missing", name, "names \(missing), which is not there", "fetch the shard, or write the package again")
      }
      if name == "model.safetensors.index.json", description != nil,
        !names.filter({ $0.hasPrefix("quant_model_weight") }).allSatisfy(files.contains)
      {
        add(
          "stale-index", name, "is the float model's: loaders that follow it leave out the quantized weights",
          "remove it from the package's folder")
      }
    }
    let own = names.filter { $0.hasPrefix("quant_model_weight") && $0.hasSuffix(".safetensors") }
    guard !own.isEmpty else { return }
    for name in names where name.hasSuffix(".safetensors") && !own.contains(name) {
      add("shard-beside", name, "lies beside the quantized weights and is loaded too", "move it to another folder")
    }
  }

  /// Layers of one kind have the same tensors, and buffers of routers are there.
  private mutating func checkCompleteness() {
    guard let count = integer("num_hidden_layers"), count > 0, count < 10_000 else { return }
    var parts: [Int: Set<String>] = [:]
    for name in tensors.keys {
      let words = name.string.split(separator: ".", omittingEmptySubsequences: false)
      guard let at = words.firstIndex(of: "layers"), at + 1 < words.count, let index = Int(words[at + 1]) else {
        continue
      }
      // Schemes may differ from layer to layer, so only weights are compared.
      guard words.last == "weight" else { continue }
      parts[index, default: []].insert(words[(at + 2)...].joined(separator: "."))
    }
    guard !parts.isEmpty else { return }
    for index in 0..<count where parts[index] == nil {
      add("layer-missing", "layers.\(index)", "has no tensors of \(count) layers", "quantize the whole model")
    }
    func isSparse(_ layer: Set<String>) -> Bool { layer.contains { $0.contains(".experts.") } }
    for kind in [false, true] {
      let alike = parts.filter { $0.key < count && isSparse($0.value) == kind }
      var counts: [String: Int] = [:]
      for name in alike.values.joined() { counts[name, default: 0] += 1 }
      let common = counts.filter { $0.value * 2 > alike.count }.map(\.key).sorted()
      for (index, names) in alike.sorted(by: { $0.key < $1.key }) {
        let missing = common.filter { !names.contains($0) }
        guard let first = missing.first else { continue }
        add(
          "layer-incomplete", "layers.\(index)", "lacks \(first) and \(missing.count - 1) more that its likes have",
          "write the package again, with every tensor of the model")
      }
    }
    if let extra = integer("num_nextn_predict_layers"), extra > 0, !parts.keys.contains(where: { $0 >= count }) {
      add(
        "mtp-missing", "layers.\(count)", "config.json promises \(extra) layers for further tokens",
        "keep their tensors as FLOAT, or set num_nextn_predict_layers to 0")
    }
    let wanted = ["glm4_moe", "deepseek_v3", "deepseek_v32", "glm_moe_dsa", "kimi_k2", "glm4_moe_lite"]
    guard wanted.contains(modelType) else { return }
    for (index, names) in parts.sorted(by: { $0.key < $1.key }) where index < count && isSparse(names) {
      let suffix = "layers.\(index).mlp.gate.e_score_correction_bias"
      guard !tensors.keys.contains(where: { $0.string.hasSuffix(suffix) }) else { continue }
      add("buffer-lost", suffix, "is missing: experts would be chosen wrongly", "copy it from the float model")
    }
  }
}
