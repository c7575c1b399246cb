import Runtime
import Safetensors
import TestSupport
import Tensors
import Testing

@testable import Converter

/// Experts are calibrated by the tokens that are sent to them.
@Suite struct ExpertCalibrationTests {
  static let reference = try? Fixtures.json("quantization/experts.json")
  static let families = ["deepseek_v3", "glm4_moe", "qwen3_moe"]

  /// The token ids of the reference, a sequence a line.
  static func calibration(_ scratch: Scratch) throws -> String {
    let sequences = try #require(reference?["sequences"]).asArray()
    let lines = try sequences.map { try "[" + $0.asArray().map { try String($0.asInt()) }.joined(separator: ",") + "]" }
    try scratch.put("data.jsonl", lines.joined(separator: "\n") + "\n")
    return scratch("data.jsonl")
  }

  private func options(_ scratch: Scratch, scheme: String = "float") throws -> QuantizationOptions {
    var options = QuantizationOptions(scheme: scheme)
    options.calibration = try Self.calibration(scratch)
    return options
  }

  private func model(_ family: String) -> String { Fixtures.folder + "/models/\(family)-base" }

  /// Scales are those that transformers' own modules lead to, to 1e-5, and idle experts are named.
  @Test(arguments: families) func rangesAreThoseOfTheirTokens(_ family: String) throws {
    let scratch = Scratch()
    var options = try options(scratch)
    options.overrides = [(try NamePattern("*.experts.*"), "w8a8")]
    let folder = try widened(family, scratch)
    let notes = try Quantizer(folder, to: scratch("out"), options: options).write { _, _ in }
    let package = try SafetensorsCheckpoint.read(scratch("out") + "/quant_model_weights.safetensors.index.json")
    let grids = try #require(Self.reference?["grids"]?[family]).members
    #expect(grids.contains { $0.key.hasSuffix("down_proj") })
    for (module, grid) in grids {
      let numbers = try grid.asArray().map { try $0.asDouble() }
      let (scale, offset) = (numbers[0], numbers[1])
      let found = try package.tensor(TensorName(module + ".input_scale")).doubles[0]
      #expect(abs(found - scale) <= 1e-5 * scale, "\(module)")
      #expect(try package.tensor(TensorName(module + ".input_offset")).doubles[0] == offset, "\(module)")
    }
    let idle = try #require(Self.reference?["idle"]?[family]).asArray().map { try $0.asString() }
    #expect(notes.count == idle.count)
    for name in idle { #expect(notes.contains { $0.contains("\"\(name)\"") }, "\(name)") }
  }

  /// A copy of a model in float32.
  private func widened(_ family: String, _ scratch: Scratch) throws -> String {
    let entries = try SafetensorsFile(path: model(family) + "/model.safetensors").store().entries.map { entry in
      let tensor = try entry.tensor().cast(to: .float32)
      return SafetensorsWriter.Entry(entry.name, tensor.dtype, shape: tensor.shape) { try $0.write(tensor.bytes) }
    }
    try AtomicFolder.write(to: scratch("model"), overwrite: false) { folder in
      let config = try InputFile.contents(of: model(family) + "/config.json")
      try folder.write("config.json") { try $0.write(config) }
      try folder.write("model.safetensors") { try SafetensorsWriter(entries).write(to: $0) }
    }
    return scratch("model")
  }

  private func logits(_ path: String) throws -> [Double] {
    let ids = Tensor([5, 17, 3, 40, 22, 9, 31].map { Int64($0) }, shape: [1, 7])
    let model = try RunnableModel(path: path, options: .init(threads: 1))
    return try #require(try model.session.run(["input_ids": ids])["logits"]).doubles
  }

  private func error(_ a: [Double], _ b: [Double]) -> Double {
    zip(a, b).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
  }

  /// Scales between an expert's projections up and down change its weights, not what it computes.
  @Test(arguments: ["iterative", "flexible", "awq"]) func smoothingReachesExperts(_ method: String) throws {
    let scratch = Scratch()
    var options = try options(scratch)
    options.smoothing = method
    let folder = try widened("qwen3_moe", scratch)
    try Quantizer(folder, to: scratch("out"), options: options).write { _, _ in }
    let (before, after) = (try logits(folder), try logits(scratch("out")))
    let largest = before.map { abs($0) }.max() ?? 0
    #expect(zip(before, after).allSatisfy { abs($0 - $1) <= 1e-4 * largest })
    let package = try SafetensorsCheckpoint.read(scratch("out") + "/quant_model_weights.safetensors.index.json")
    let source = try SafetensorsFile(path: folder + "/model.safetensors").store().withSeparateExperts()
    let names = package.entries.map(\.name).filter {
      $0.string.contains(".experts.") && $0.string.contains("down_proj")
    }
    #expect(!names.isEmpty)
    for name in names {
      #expect(try package.tensor(name).doubles != source.tensor(name).doubles, "\(name)")
    }
  }

  /// Codes that make up for each other's errors leave less of them than rounding does.
  @Test(arguments: families) func codesOfExpertsAreSolved(_ family: String) throws {
    let scratch = Scratch()
    var options = try options(scratch)
    options.overrides = [(try NamePattern("*.experts.*"), "w4a16")]
    try Quantizer(model(family), to: scratch("rounded"), options: options).write { _, _ in }
    options.method = "gptq"
    try Quantizer(model(family), to: scratch("solved"), options: options).write { _, _ in }
    let exact = try logits(model(family))
    #expect(error(try logits(scratch("solved")), exact) < error(try logits(scratch("rounded")), exact))
  }

  /// Of equal scores those are chosen that PyTorch finds, in its order.
  @Test func equalScoresAreChosenAsPyTorchDoes() throws {
    let cases = Array(try #require(Self.reference?["choices"]).asArray())
    #expect(!cases.isEmpty)
    for item in cases {
      func numbers(_ key: String) throws -> [Int] { try #require(item[key]).asArray().map { try $0.asInt() } }
      let (scores, sorted) = (try numbers("scores"), try numbers("sorted"))
      let tensor = Tensor(scores.map(Float.init), shape: [1, scores.count])
      for (isSorted, expected) in [(true, sorted), (false, try numbers("found"))] {
        let found = try ExpertChoice(k: sorted.count, isSorted: isSorted).evaluate([tensor])
        #expect(found[1].integers.map(Int.init) == expected, "\(scores.count), \(sorted.count)")
        #expect(found[0].floats == expected.map { Float(scores[$0]) })
      }
    }
  }

  /// What msModelSlim says of DeepSeek-V3 with four bits.
  @Test(arguments: [true, false]) func settingsAreAdded(_ isCompatible: Bool) throws {
    let scratch = Scratch()
    var options = QuantizationOptions(scheme: "w8a8-dynamic")
    options.overrides = [(try NamePattern("model.layers.0.mlp.gate_proj"), "w4a8-dynamic")]
    options.isCompatible = isCompatible
    try Quantizer(model("deepseek_v3"), to: scratch("out"), options: options).write { _, _ in }
    let config = try JSON.parse(InputFile.contents(of: scratch("out") + "/config.json"))
    #expect(config["moe_quantize"]?.string == (isCompatible ? "w4a8_dynamic" : nil))
    #expect(config["mla_quantize"]?.string == (isCompatible ? "w8a8_dynamic" : nil))
  }
}
