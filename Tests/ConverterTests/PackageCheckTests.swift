import Glibc
import Safetensors
import TestSupport
import Tensors
import Testing

@testable import Converter

/// What `check` finds in packages that were spoiled on purpose, and that it finds nothing in good ones.
@Suite struct PackageCheckTests {
  private let scratch = Scratch()

  /// A package of a tiny model of llama's layers, whose MLP is a pair of matrices.
  private func package(_ scheme: String = "w8a8-dynamic", format: String = "ascendv1") throws -> String {
    let model = scratch("model")
    if !exists(model) {
      mkdir(model, 0o755)
      try Scratch.put(model + "/config.json", Self.config)
      try Scratch.put(model + "/tokenizer.json", Array("{}".utf8))
      let weights = try TinyModel.llama.weights(.bfloat16)
      try SafetensorsWriter(
        weights.entries.map { entry in
          SafetensorsWriter.Entry(entry.name, entry.dtype, shape: entry.shape) { sink in
            try entry.forEachPiece { try sink.write($0) }
          }
        }
      ).write(to: model + "/model.safetensors", overwrite: false)
    }
    var options = QuantizationOptions(scheme: scheme)
    options.format = format
    options.overwrite = true
    try Quantizer(model, to: scratch("package"), options: options).write { _, _ in }
    return scratch("package")
  }

  private static let config = Array(
    """
    {"model_type": "llama", "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "head_dim": 8,
     "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 11, "max_position_embeddings": 32,
     "rms_norm_eps": 1e-5, "torch_dtype": "bfloat16"}
    """.utf8)

  private func codes(
    _ path: String, for consumer: String = "vllm-ascend", soc: String? = nil, tp: Int = 1
  ) throws -> Set<String> {
    Set(try PackageCheck(path, for: consumer, soc: soc, tensorParallel: tp).problems.map(\.code))
  }

  @Test(arguments: [
    ("w8a8-dynamic", "ascendv1", "vllm-ascend"), ("fp8", "vllm-ascend", "vllm-ascend"),
    ("mxfp8", "ascendv1", "vllm-ascend"), ("w8a16", "ascendv1", "vllm-ascend"), ("w8a16-g8", "mindie", "mindie"),
    ("w8a8-dynamic", "mindie", "mindie"), ("w8a8-dynamic", "mindformers", "mindformers"),
    ("w8a8-dynamic", "compressed-tensors", "compressed-tensors"), ("fp8", "compressed-tensors", "vllm-ascend"),
  ]) func goodPackagesHaveNoProblems(_ scheme: String, _ format: String, _ consumer: String) throws {
    let problems = try PackageCheck(package(scheme, format: format), for: consumer, soc: "Ascend950").problems
    #expect(problems.isEmpty, "\(problems)")
  }

  @Test(arguments: [
    ("fp8", "ascendv1", "vllm-ascend", "A5", 1, "scheme-name"),
    ("mxfp4", "ascendv1", "vllm-ascend", "A2", 1, "scheme-chip"),
    ("w4a8-dynamic-g8", "ascendv1", "vllm-ascend", "A2", 1, "scheme-kind"),
    ("w8a8-dynamic", "ascendv1", "vllm-ascend", "310P", 1, "chip-type"),
    ("w8a8-dynamic", "ascendv1", "vllm-ascend", "Ascend910A", 1, "chip"),
    ("w8a8-dynamic", "ascendv1", "vllm-ascend", "A2", 3, "tp-divides"),
    ("w8a16", "ascendv1", "mindformers", "A2", 1, "scheme-unknown"),
    ("w8a16", "compressed-tensors", "compressed-tensors", "A2", 1, "scheme-unknown"),
    ("w8a8-dynamic", "mindie", "vllm-ascend", "A2", 1, "description-name"),
  ]) func otherConsumersObject(
    _ scheme: String, _ format: String, _ consumer: String, _ soc: String, _ tp: Int, _ code: String
  ) throws {
    #expect(try codes(package(scheme, format: format), for: consumer, soc: soc, tp: tp).contains(code))
  }

  @Test func spoiledPackagesAreFound() throws {
    let path = try package()
    let description = path + "/quant_model_description.json"
    let good = String(decoding: try InputFile.contents(of: description, limit: 1 << 20).array, as: UTF8.self)
    func with(_ old: String, _ new: String) throws -> Set<String> {
      #expect(good.contains(old))
      try Scratch.put(description, Array(good.replacing(old, with: new).utf8))
      return try codes(path)
    }
    let module = "model.layers.0.self_attn.q_proj"
    let weight = "\"\(module).weight\": \"W8A8_DYNAMIC\""
    #expect(try with(weight, "\"\(module).weight\": \"FLOAT\"").contains("fused-types"))
    #expect(try with(weight, "\"\(module).weight\": \"W9\"").isSuperset(of: ["fused-types", "scheme-unknown"]))
    #expect(try with(weight, "\"\(module).weights\": \"W8A8_DYNAMIC\"") == ["tensor-missing", "type-missing"])
    #expect(try with(weight, "\"\(module).weight\": \"W8A8\"").contains("part-missing"))
    #expect(try with(weight, "\"\(module).weight\": \"W8A8_MXFP8\"").contains("part-layout"))
    try Scratch.put(description, Array(good.utf8))
    #expect(try codes(path).isEmpty)
    // What is left of the float model.
    let float = try InputFile.contents(of: scratch("model") + "/model.safetensors", limit: 1 << 24).array
    try Scratch.put(path + "/model.safetensors", float)
    #expect(try codes(path).isSuperset(of: ["shard-beside", "tensor-twice"]))
    try Scratch.put(path + "/model.safetensors", [1, 2, 3])
    #expect(try codes(path).contains("file-unreadable"))
    try Scratch.put(
      path + "/model.safetensors.index.json", Array(#"{"weight_map": {"a": "model-00001-of-00001.safetensors"}}"#.utf8))
    #expect(try codes(path).isSuperset(of: ["stale-index", "shard-missing"]))
    try Scratch.put(path + "/quant_model_description_w8a8.json", Array(good.utf8))
    #expect(try codes(path, for: "mindformers").contains("descriptions-two"))
    let settings = String(decoding: Self.config, as: UTF8.self).replacing(
      "\"hidden_size\"", with: "\"quantization_config\": {\"quant_method\": \"fp8\"}, \"hidden_size\"")
    try Scratch.put(path + "/config.json", Array(settings.replacing("layers\": 2", with: "layers\": 3").utf8))
    #expect(try codes(path).isSuperset(of: ["quantization-config", "layer-missing"]))
  }

  /// Recipes of `modelslim_v0` leave scales in the model's type, as loaders hold them.
  @Test func scalesMayBeOfTheModelsType() throws {
    _ = try package()
    let recipe = scratch("old.yaml")
    try Scratch.put(
      recipe, Array("{apiversion: modelslim_v0, spec: {calib_cfg: {w_bit: 8, a_bit: 16, mm_tensor: false}}}".utf8))
    var options = QuantizationOptions(scheme: nil)
    options.recipe = recipe
    try Quantizer(scratch("model"), to: scratch("old"), options: options).write { _, _ in }
    let store = try SafetensorsFile(path: scratch("old") + "/quant_model_weights.safetensors").store()
    #expect(store["model.layers.0.self_attn.q_proj.weight_scale"]?.dtype == .bfloat16)
    #expect(try codes(scratch("old")).isEmpty)
  }

  @Test func unknownNamesAreRefused() throws {
    let path = try package()
    #expect(code { _ = try PackageCheck(path, for: "vllm") } == .usage)
    #expect(code { _ = try PackageCheck(path, for: "mindie", soc: "H100") } == .usage)
    #expect(code { _ = try PackageCheck(path, for: "mindie", tensorParallel: 0) } == .usage)
    #expect(code { _ = try PackageCheck(path, for: "llama.cpp") } != nil)
  }

  /// Stacked experts, either way round, give the package that experts by themselves give.
  @Test(arguments: [false, true]) func stackedExpertsAreTakenApart(_ isTurned: Bool) throws {
    var generator = SplitMix64(seed: 3)
    let (experts, inner, hidden) = (3, 4, 6)
    var store = TensorStore()
    let joint = try Tensor.random(.float32, shape: [experts, 2 * inner, hidden], scale: 1, using: &generator)
    let down = try Tensor.random(.float32, shape: [experts, hidden, inner], scale: 1, using: &generator)
    func add(_ name: String, _ tensor: Tensor) throws {
      let entry = TensorStore.Entry(TensorName(name), tensor.dtype, shape: tensor.shape, file: "") { tensor.bytes }
      guard isTurned else { return try store.append(entry) }
      try store.append(
        TensorStore.Entry(TensorName(name), TensorExpression(entry).transposed([0, 2, 1]), file: ""))
    }
    try add("m.experts.gate_up_proj", joint)
    try add("m.experts.down_proj", down)
    let apart = try store.withSeparateExperts()
    #expect(apart.entries.count == 9)
    for expert in 0..<experts {
      let gate = try apart.tensor(TensorName("m.experts.\(expert).gate_proj.weight"))
      let up = try apart.tensor(TensorName("m.experts.\(expert).up_proj.weight"))
      let back = try apart.tensor(TensorName("m.experts.\(expert).down_proj.weight"))
      let size = inner * hidden
      let start = 2 * expert * size
      #expect(gate.shape == [inner, hidden] && back.shape == [hidden, inner])
      #expect(gate.doubles == Array(joint.doubles[start..<(start + size)]))
      #expect(up.doubles == Array(joint.doubles[(start + size)..<(start + 2 * size)]))
      #expect(back.doubles == Array(down.doubles[(expert * size)..<((expert + 1) * size)]))
    }
  }
}
