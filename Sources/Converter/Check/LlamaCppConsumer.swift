internal import Checkpoints
internal import Tensors

/// llama.cpp on a GGUF file: `src/llama-model-loader`, `src/llama-arch`.
enum LlamaCppConsumer: PackageConsumer {
  static let name = "llama.cpp"

  static func check(
    _ path: String, _ options: CheckOptions
  ) throws -> (problems: [PackageCheck.Problem], tensors: Int) {
    guard try CheckpointFormats.format(at: path) is GGUF else {
      throw BessemerError(.wrongFormat, "is no GGUF file, which llama.cpp loads", file: path)
    }
    let store = try CheckpointFormats.read(path)
    var problems: [PackageCheck.Problem] = []
    func add(_ code: String, _ place: String, _ message: String, _ fix: String) {
      problems.append(PackageCheck.Problem(code: code, place: place, message: message, fix: fix))
    }
    guard let text = store.metadata["general.architecture"] else {
      add("architecture-missing", "general.architecture", "is missing", "convert the model with --to gguf")
      return (problems, store.entries.count)
    }
    let architecture = GGUFText.string(ofText: text)
    guard let family = GGUFFamily.family(architecture: architecture, names: store.entries.lazy.map(\.name)) else {
      add("architecture", architecture, "is no family that is known here", "check the name of general.architecture")
      return (problems, store.entries.count)
    }
    let texts = GGUFTexts(metadata: store.metadata, architecture: family.architecture)
    for key in ["block_count", "context_length", "embedding_length", "feed_forward_length", "attention.head_count"]
    where !texts.has(key) {
      add("setting-missing", "\(architecture).\(key)", "is missing", "convert the model again")
    }
    if store.metadata["tokenizer.ggml.model"] == nil {
      add("tokenizer-missing", "tokenizer.ggml.model", "is missing", "convert the model with its tokenizer")
    }
    guard store["token_embd.weight"] != nil else {
      add("tensor-missing", "token_embd.weight", "is missing", "convert the model again")
      return (problems, store.entries.count)
    }
    // Every block has what those of its kind have.
    let count = (try? texts.count("block_count")) ?? 0
    var blocks: [Int: Set<String>] = [:]
    for entry in store.entries {
      let words = entry.name.string.split(separator: ".", maxSplits: 2)
      if words.count == 3, words[0] == "blk", let index = Int(words[1]) {
        blocks[index, default: []].insert(String(words[2]))
        if index >= count { add("block-surplus", entry.name.string, "is beyond block_count \(count)", "convert again") }
      }
      if entry.name.string.utf8.count > 63 {
        add("name-long", entry.name.string, "has more than 63 bytes", "convert the model again")
      }
      if case .blocks = entry.layout, GGUFExport.isExact(entry.name, entry.shape) {
        add(
          "type-exact", entry.name.string, "is \(entry.storedTypeName), and has to be float32",
          "quantize the matrices alone")
      }
    }
    let usual = ["attn_norm.weight", "attn_q.weight", "ffn_down.weight"].filter { name in
      blocks.values.filter { $0.contains(name) }.count * 2 > blocks.count
    }
    for index in 0..<min(count, 10_000) {
      guard let names = blocks[index] else {
        add("block-missing", "blk.\(index)", "has no tensors", "convert the whole model")
        continue
      }
      for name in usual where !names.contains(name) {
        add("tensor-missing", "blk.\(index).\(name)", "is missing", "convert the model again")
      }
    }
    return (problems, store.entries.count)
  }
}
