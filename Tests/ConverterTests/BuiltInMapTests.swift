import Checkpoints
import Glibc
import TestSupport
import Tensors
import Testing

@testable import Converter

/// Built-in maps on the files of `fixtures/maps/builtin`, which mindformers' own code and mindone's models made.
@Suite struct BuiltInMapTests {
  private static let folder = Fixtures.folder + "/maps/builtin/"
  private let scratch = Scratch()

  /// A model's folder of some weights and a configuration.
  private func model(_ name: String, _ weights: String, _ config: String) throws -> String {
    mkdir(scratch(name), 0o755)
    try Scratch.put(scratch(name) + "/config.json", Array(config.utf8))
    try Scratch.put(scratch(name) + "/model.safetensors", Fixtures.bytes("maps/builtin/" + weights + ".safetensors"))
    return scratch(name)
  }

  private func mapped(_ input: String, _ map: String) throws -> TensorStore {
    let output = scratch(map + ".safetensors")
    var options = ConversionOptions()
    (options.maps, options.isStrict, options.overwrite) = ([map], true, true)
    _ = try Conversion(input, to: output, options: options).write { _, _ in }
    return try CheckpointFormats.read(output)
  }

  private func expectSame(_ result: TensorStore, _ file: String, _ note: String) throws {
    let expected = try CheckpointFormats.read(BuiltInMapTests.folder + file + ".safetensors")
    #expect(Set(result.entries.map(\.name)) == Set(expected.entries.map(\.name)), "\(note)")
    for entry in expected.entries {
      let found = try #require(result[entry.name], "\(note): \(entry.name)")
      #expect(found.dtype == entry.dtype && found.shape == entry.shape, "\(note): \(entry.name)")
      #expect(try found.tensor().bytes == entry.tensor().bytes, "\(note): \(entry.name)")
    }
  }

  @Test func elementsGoWhereTheFrameworkHasThemAndBack() throws {
    let cases = Array(try Fixtures.json("maps/builtin/cases.json").asArray())
    #expect(cases.count >= 12)
    for (index, element) in cases.enumerated() {
      let (from, to) = (try element.required("from").asString(), try element.required("to").asString())
      let config = try element.required("config").asString()
      let (map, inverse) = (try element.required("map").asString(), try element.required("inverse").asString())
      try expectSame(mapped(model("there\(index)", from, config), map), to, map)
      try expectSame(mapped(model("back\(index)", to, config), inverse), from, inverse)
      #expect(try WeightMap.named(map).inverse == inverse && WeightMap.named(inverse).inverse == map)
    }
  }

  @Test func wholeModelsHaveTheNamesOfMindOne() throws {
    for (family, names) in try Fixtures.json("maps/builtin/mindone.json").members {
      func store(_ key: String) throws -> TensorStore {
        var store = TensorStore()
        for name in try names.required(key).asArray() {
          try store.append(TensorStore.Entry(TensorName(name.asString()), .float32, shape: [2], file: "") { Bytes([]) })
        }
        return store
      }
      let config = try JSON.parse("{\"model_type\": \"\(family)\"}")
      func result(_ map: String, _ store: TensorStore) throws -> Set<TensorName> {
        var engine = MapEngine(store)
        let subject = WeightMap.Subject(entries: store.entries, metadata: [:], config: config)
        try engine.apply(WeightMap.named(map).rules(for: subject))
        #expect(engine.problems.isEmpty && engine.unclaimedNames(store).isEmpty, "\(family)")
        return Set(engine.result.map(\.name))
      }
      let (hf, mindone) = (try store("hf"), try store("mindone"))
      // A parameter there, computed elsewhere.
      let own = Set(mindone.entries.map(\.name).filter { !$0.string.hasSuffix("rotary_emb.inv_freq") })
      #expect(try result("hf-to-mindone", hf) == own, "\(family)")
      #expect(try result("mindone-to-hf", mindone) == Set(hf.entries.map(\.name)), "\(family)")
    }
  }

  @Test func mapsOfOtherModelsAreRefused() throws {
    func refusal(_ map: String, _ config: String) throws -> ErrorCode? {
      let path = try model("other", "qwen3", config)
      return code { _ = try mapped(path, map) }
    }
    #expect(try refusal("hf-to-mindformers-training", "{\"model_type\": \"deepseek_v3\"}") == .unsupportedModel)
    #expect(try refusal("hf-to-mindformers-training", "{\"model_type\": \"qwen3\"}") == .config)
    let odd = "{\"model_type\": \"qwen3\", \"num_attention_heads\": 3, \"num_key_value_heads\": 2, \"head_dim\": 2}"
    #expect(try refusal("hf-to-mindformers-inference", odd) == .config)
    let wrong = "{\"model_type\": \"qwen3\", \"num_attention_heads\": 8, \"num_key_value_heads\": 4, \"head_dim\": 8}"
    #expect(try refusal("hf-to-mindformers-training", wrong) == .weightMap)
    let alone = BuiltInMapTests.folder + "qwen3.safetensors"
    #expect(code { _ = try mapped(alone, "hf-to-mindone") } == .config)
  }
}
