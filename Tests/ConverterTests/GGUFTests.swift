import Digests
import TestSupport
import Tensors
import Testing
import Tokenizers

@testable import Converter

/// Models that become GGUF files, as llama.cpp's converter makes them, and folders again.
@Suite struct GGUFTests {
  static let models = [
    "bert-base", "glm4-alt", "glm4-base", "glm4_moe-base", "llama-alt", "llama-base", "qwen2-base", "qwen3-base",
    "qwen3_moe-base",
  ]
  static let tokenizers = ["bert", "glm4", "llama2", "llama3", "qwen3"]

  private func convert(_ input: String, _ output: String, _ types: [String] = [], to format: String? = nil) throws {
    var options = ConversionOptions()
    options.format = format
    for type in types { try options.types.add(type) }
    _ = try Conversion(input, to: output, options: options).write { _, _ in }
  }

  @Test(arguments: models) func writesWhatLlamaCppWrites(_ name: String) throws {
    let scratch = Scratch()
    try convert(Fixtures.folder + "/models/" + name, scratch("a.gguf"))
    let store = try CheckpointFormats.read(scratch("a.gguf"))
    let expected = try Fixtures.json("gguf/models.json").required(name)
    let tensors = try expected.required("tensors")
    #expect(store.entries.count == tensors.count)
    for entry in store.entries {
      let digest = try SHA256.digest(of: entry.tensor().bytes)
      let found = "\(entry.dtype) \(entry.shape) \(digest.description.prefix(16))"
      #expect(found == tensors[entry.name.string]?.string, "\(entry.name)")
    }
    for (key, text) in try expected.required("metadata").members {
      #expect(store.metadata[TensorName(key)] == text.string, "\(key)")
    }
    // Without a tokenizer, the reference leaves out what belongs to it.
    let extra = name == "bert-base" ? 1 : 0
    #expect(store.metadata.count == (try expected.required("metadata").count) + extra)
  }

  @Test(arguments: models) func foldersComeBack(_ name: String) throws {
    let (scratch, folder) = (Scratch(), Fixtures.folder + "/models/" + name)
    try convert(folder, scratch("a.gguf"), ["f32"])
    try convert(scratch("a.gguf"), scratch("model"), to: "safetensors")
    let (before, after) = (try CheckpointFormats.read(folder), try CheckpointFormats.read(scratch("model")))
    let left = before.entries.filter { after[$0.name] == nil }.map(\.name.string)
    #expect(left == (name == "bert-base" ? ["pooler.dense.bias", "pooler.dense.weight"] : []))
    for entry in after.entries {
      #expect(try before.tensor(entry.name).cast(to: .float32) == entry.tensor(), "\(entry.name)")
    }
    // The model is accounted for by its new configuration, and says what the old one said.
    let model = try LoadedModel(path: scratch("model"))
    let old = try Fixtures.json("models/\(name)/config.json")
    for (key, value) in model.config.members {
      guard let wanted = old[key], !wanted.isNull, wanted.kind != .object else { continue }
      #expect(value.kind == .array ? value.count == wanted.count : "\(value.summary)" == "\(wanted.summary)", "\(key)")
    }
    if let rotary = old["rope_parameters"] {
      for (key, value) in rotary.members {
        #expect(model.config["rope_parameters"]?[key]?.summary == value.summary, "\(key)")
      }
    }
  }

  private func vocabulary(_ name: String) throws -> (files: ModelFiles, family: GGUFFamily, texts: [TensorName: String])
  {
    let files = try ModelFiles(folder: Fixtures.folder + "/gguf/tokenizers/" + name)
    let config = try #require(try files.json("config.json"))
    let family = try #require(GGUFFamily.all.first { $0.modelType == config["model_type"]?.string })
    return (files, family, try GGUFVocabulary.metadata(files, config, family))
  }

  @Test(arguments: tokenizers) func tokenizersBecomeMetadata(_ name: String) throws {
    let (_, _, texts) = try vocabulary(name)
    let expected = try Fixtures.json("gguf/tokenizers/\(name).json")
    for (key, text) in expected.members where key != "tokenizer.ggml.token_type_count" {
      let found = texts[TensorName(key)]
      #expect(found == text.string, "\(key): \(found?.prefix(200) ?? "") instead of \(text.string?.prefix(200) ?? "")")
    }
    let known = Set(expected.members.map(\.key))
    #expect(texts.keys.allSatisfy { known.contains($0.string) })
  }

  @Test(arguments: tokenizers) func tokenizersComeBack(_ name: String) throws {
    let (files, family, vocabulary) = try vocabulary(name)
    var texts = vocabulary
    texts["general.architecture"] = family.architecture
    let file = try #require(try GGUFTokenizerFile(GGUFTexts(metadata: texts, architecture: family.architecture)))
    let again = try file.files(family)
    #expect(again.map(\.name) == ["tokenizer.json", "tokenizer_config.json"])
    let tokenizer = try Tokenizer(json: JSON.parse(again[0].bytes))
    let lines = [
      "", "The file takes 12 bytes.", "I'll say it:  it's\n\n not 3.14 é層😀", "<think>a</think><|eot|>b", "  x ",
    ]
    guard let original = try files.json("tokenizer.json") else {
      // SentencePiece: the texts of the pieces come back, after the token that begins a text.
      for line in lines.dropFirst() where !line.contains("<") {
        let ids = try tokenizer.encode(line)
        let back = try tokenizer.decode(Array(ids.dropFirst()))
        #expect(ids.first == 1 && back == line, "\(line)")
      }
      return
    }
    for line in lines {
      #expect(try tokenizer.encode(line) == Tokenizer(json: original).encode(line), "\(line)")
    }
  }

  @Test func refusesWhatIsLost() throws {
    let scratch = Scratch()
    for (name, words) in [("qwen2-alt", "use_sliding_window"), ("bert-alt", "hidden_act")] {
      let folder = Fixtures.folder + "/models/" + name
      #expect(code { try convert(folder, scratch("a.gguf")) } == .unsupportedFeature, "\(words)")
    }
    #expect(scratch.names.isEmpty)
  }

  @Test func namesStayWhenAsked() throws {
    let scratch = Scratch()
    var options = ConversionOptions()
    options.keepsNames = true
    let folder = Fixtures.folder + "/models/llama-base"
    _ = try Conversion(folder, to: scratch("a.gguf"), options: options).write { _, _ in }
    let (before, after) = (try CheckpointFormats.read(folder), try CheckpointFormats.read(scratch("a.gguf")))
    #expect(before.entries.map(\.name) == after.entries.map(\.name))
    for (a, b) in zip(before.entries, after.entries) { #expect(try a.tensor() == b.tensor()) }
    // Names of GGUF files stay on the way into a single file.
    try convert(folder, scratch("b.gguf"))
    try convert(scratch("b.gguf"), scratch("b.safetensors"))
    #expect(try CheckpointFormats.read(scratch("b.safetensors"))["blk.0.attn_q.weight"] != nil)
  }

  @Test func scalesOfLlama3AreRecognized() {
    for scaling in [
      Llama3Scaling(factor: 8, low: 1, high: 4, positions: 8192),
      Llama3Scaling(factor: 32, low: 1, high: 4, positions: 8192),
    ] {
      let factors = scaling.factors(theta: 500000, headSize: 128)
      #expect(Llama3Scaling.recognize(factors, theta: 500000, headSize: 128) == scaling)
      #expect(Llama3Scaling.recognize(factors.map { $0 * 1.01 }, theta: 500000, headSize: 128) == nil)
    }
  }
}
