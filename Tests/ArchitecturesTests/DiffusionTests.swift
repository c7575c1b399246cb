import Architectures
import IR
import Passes
import Safetensors
import TestSupport
import Tensors
import Testing

@testable import Runtime

/// A folder of a diffusers model under `fixtures/image`.
struct DiffusionModel: CustomTestStringConvertible, Sendable {
  let folder: String
  var testDescription: String { folder }

  static let transformer = DiffusionModel(folder: "image/model/transformer")
  static let autoencoder = DiffusionModel(folder: "image/model/vae")
  /// Autoencoders with the outputs that diffusers computes, by the file of these.
  static let autoencoders: [(model: DiffusionModel, reference: String)] =
    [(autoencoder, "image/ref/vae.safetensors")]
    + ["attention", "attention-old"].map {
      (DiffusionModel(folder: "image/autoencoders/\($0)"), "image/autoencoders/\($0)/reference.safetensors")
    }

  func config() throws -> JSON { try Fixtures.json(folder + "/config.json") }

  /// The weights in a type, all of which hold them exactly, or by the mapping where none is named.
  func weights(_ dtype: DType? = nil) throws -> TensorStore {
    let store = try SafetensorsCheckpoint.read(Fixtures.folder + "/" + folder)
    guard let dtype else { return store }
    var result = TensorStore()
    for entry in store.entries { try result.append(entry.name, entry.tensor().cast(to: dtype)) }
    return result
  }

  /// The graph of a component; `tapped` names values that become outputs, by how nodes are named.
  func model(
    _ component: String, fused: Bool, dtype: DType? = nil, tap: (inout Graph) -> Void = { _ in }
  ) throws -> Model {
    let weights = try weights(dtype)
    let parts = try buildComponents(config: config(), weights: weights)
    var graph = try #require(parts.first { $0.name == component }).graph
    tap(&graph)
    _ = try PassRunner(defaultPasses(fuse: fused)).run(on: &graph)
    return Model(graph, weights: weights, options: RunOptions(threads: 2))
  }

  static func reference(_ file: String) throws -> TensorStore {
    try SafetensorsFile(path: Fixtures.folder + "/" + file).store()
  }
}

@Suite struct DiffusionTests {
  /// The largest difference as a part of the largest value.
  private func distance(_ a: Tensor, _ b: Tensor) -> Double {
    guard a.shape == b.shape else { return .infinity }
    let scale = a.doubles.reduce(0) { max($0, abs($1)) }
    return zip(a.doubles, b.doubles).reduce(0) { max($0, abs($1.0 - $1.1)) } / scale
  }

  private static func drops(_ tensor: Tensor) throws -> Tensor {
    try Tensor(.bool, shape: tensor.shape, bytes: Bytes(tensor.integers.map { UInt8($0) }))
  }

  /// The inputs of the transformer in a file of references; flags are stored as whole numbers.
  private static func inputs(_ store: TensorStore, of model: Model) throws -> [String: Tensor] {
    try Dictionary(
      uniqueKeysWithValues: model.graph.inputs.map { input in
        let tensor = try store.tensor(TensorName(input.name))
        return (input.name, input.name == "prior_token_drop" ? try drops(tensor) : tensor)
      })
  }

  @Test(arguments: [true, false], [DType.float32, .bfloat16, .float16])
  func transformerAgreesWithDiffusers(_ fused: Bool, _ dtype: DType) throws {
    let store = try DiffusionModel.reference("image/ref/transformer.safetensors")
    let model = try DiffusionModel.transformer.model("model", fused: fused, dtype: dtype) { graph in
      for (layer, part) in [(0, "image"), (0, "text"), (1, "image")] {
        // What a block adds last to one of them is what it gives of it.
        let sums = graph.nodeIDs.filter { graph[$0].name == "transformer_blocks.\(layer)" && graph[$0].op is Add }
          .map { graph[$0].results[0] }
          .filter { graph.type(of: $0).dims[1] == (part == "image" ? "height*width" : "text") }
        graph.addOutput("block.\(layer).\(part)", sums[1])
      }
    }
    let outputs = try Session(model).run(DiffusionTests.inputs(store, of: model))
    for name in ["sample", "block.0.image", "block.0.text", "block.1.image"] {
      let error = try distance(store.tensor(TensorName(name)), #require(outputs[name]))
      #expect(error < 1e-4, "\(name): \(error)")
    }
  }

  @Test(arguments: [true, false]) func picturesToEditAreRemembered(_ fused: Bool) throws {
    let store = try DiffusionModel.reference("image/ref/cache.safetensors")
    let one = try DiffusionModel.reference("image/ref/transformer.safetensors")
    let model = try DiffusionModel.transformer.model("model", fused: fused)
    let denoiser = try LatentDenoiser(model)
    let said = try denoiser.show(
      store.tensor("shown"), height: 32, width: 32, tokens: store.tensor("shown_tokens").integers)
    #expect(try distance(store.tensor("said"), said) < 1e-4)
    // The same by hand, then read twice: a session that reads leaves the states as they are.
    let memory = Session(model)
    let width = try one.tensor("encoder_hidden_states").shape[2]
    _ = try memory.run([
      "hidden_states": store.tensor("shown"), "encoder_hidden_states": Tensor([Float](), shape: [1, 0, width]),
      "prior_token_id": store.tensor("shown_tokens").reshaped([1, 4]), "timestep": Tensor([Float(0)], shape: [1]),
      "target_size": Tensor([Float(32), 32], shape: [1, 2]),
    ])
    #expect(memory.past == 4)
    var inputs = try DiffusionTests.inputs(one, of: model)
    for (name, tensor) in inputs {
      let count = tensor.bytes.count / tensor.shape[0]
      inputs[name] = try Tensor(tensor.dtype, shape: [1] + tensor.shape.dropFirst(), bytes: tensor.bytes[0..<count])
    }
    let (reading, empty) = (Session(reading: memory), Session(reading: Session(model)))
    for _ in 0..<2 {
      #expect(try distance(store.tensor("read"), #require(reading.run(inputs)["sample"])) < 1e-4)
      let sample = try one.tensor("sample")
      let first = try Tensor(
        .float32, shape: [1] + sample.shape.dropFirst(), bytes: sample.bytes[0..<sample.bytes.count / 2])
      #expect(try distance(first, #require(empty.run(inputs)["sample"])) < 1e-4)
    }
    #expect(memory.past == 4 && reading.past == 4 && empty.past == 0)
  }

  @Test(arguments: DiffusionModel.autoencoders.indices, [true, false])
  func autoencodersAgreeWithDiffusers(_ index: Int, _ fused: Bool) throws {
    let (autoencoder, file) = DiffusionModel.autoencoders[index]
    let store = try DiffusionModel.reference(file)
    for dtype in [DType.float32, .bfloat16, .float16] {
      let decoder = Session(try autoencoder.model("decoder", fused: fused, dtype: dtype))
      let sample = try decoder.run(["latents": store.tensor("latents")])["sample"]
      #expect(try distance(store.tensor("sample"), #require(sample)) < 1e-4)
      let encoder = Session(try autoencoder.model("encoder", fused: fused, dtype: dtype))
      let coded = try encoder.run(["sample": store.tensor("image")])
      for name in ["mean", "logvar"] {
        #expect(try distance(store.tensor(TensorName(name)), #require(coded[name])) < 1e-4, "\(name)")
      }
    }
  }

  @Test func passesFindTheFusedForms() throws {
    let graph = try DiffusionModel.transformer.model("model", fused: true).graph
    let counts = Dictionary(
      graph.nodeIDs.map { (Swift.type(of: graph[$0].op).schema.name, 1) }, uniquingKeysWith: +)
    // The text's attention in the last layer leads nowhere.
    #expect(counts["attention"] == 3 && counts["layer_norm"] == 15 && counts["rotary_embedding"] == 4)
    #expect(counts["matmul"] == nil && counts["softmax"] == nil && counts["gelu"] == nil && counts["erf"] == nil)
    let decoder = try DiffusionModel.autoencoder.model("decoder", fused: true).graph
    #expect(decoder.nodeIDs.contains { decoder[$0].op is Silu })
    #expect(!decoder.nodeIDs.contains { decoder[$0].op is Sigmoid })
  }

  @Test func schedulesAgreeWithDiffusers() throws {
    let configuration = try FlowMatchSchedule.Configuration(
      json: Fixtures.json("image/model/scheduler/scheduler_config.json"))
    let store = try DiffusionModel.reference("image/ref/schedule.safetensors")
    for entry in store.entries where entry.name.string.hasSuffix(".sigmas") {
      let numbers = entry.name.string.split(separator: ".").compactMap { Int($0) }
      let schedule = try FlowMatchSchedule(configuration, steps: numbers[0], patches: numbers[1])
      let times = try store.tensor(TensorName("\(numbers[0]).\(numbers[1]).timesteps"))
      #expect(schedule.timesteps == times.floats)
      let sigmas = try entry.tensor().floats
      #expect(schedule.sigmas.count == numbers[0] + 1 && schedule.sigmas.last == 0)
      #expect(zip(schedule.sigmas, sigmas).allSatisfy { abs($0 - $1) <= 2e-7 })
    }
    #expect(store.entries.count == 8)
    #expect(code { _ = try FlowMatchSchedule(configuration, steps: 0, patches: 4) } == .usage)
  }

  @Test(arguments: [
    (#"{"use_karras_sigmas": true}"#, ErrorCode.unsupportedFeature), (#"{"shift": 0}"#, .config),
    (#"{"_class_name": "DDIMScheduler"}"#, .unsupportedFeature), (#"{"shift_terminal": 1.5}"#, .config),
    (#"{"use_dynamic_shifting": true, "time_shift_type": "cubic"}"#, .config),
  ])
  func schedulesThatCannotBe(_ text: String, _ expected: ErrorCode) throws {
    let json = try JSON.parse(Bytes(Array(text.utf8)))
    #expect(code { _ = try FlowMatchSchedule.Configuration(json: json) } == expected)
  }

  @Test func noiseIsNormalAndTheSameForASeed() {
    let noise = NormalNoise.tensor(shape: [3, 5, 7], seed: 1)
    #expect(noise.shape == [3, 5, 7])
    #expect(NormalNoise.tensor(shape: [105], seed: 1).floats == noise.floats)
    #expect(NormalNoise.tensor(shape: [105], seed: 2).floats != noise.floats)
    let values = NormalNoise.tensor(shape: [100_000], seed: 3).doubles
    let mean = values.reduce(0, +) / 1e5
    let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / 1e5
    let within = Double(values.count { abs($0) < 1 }) / 1e5
    #expect(abs(mean) < 0.01 && abs(variance - 1) < 0.02 && abs(within - 0.6827) < 0.005)
    // The numbers are written down: no version gives others.
    #expect(NormalNoise.tensor(shape: [3], seed: 0).floats == [-1.8839084, 0.86450684, 0.22760794])
  }

  @Test(arguments: [
    (#""norm_num_groups": 4"#, #""norm_num_groups": 3"#, ErrorCode.config),
    (#""DownEncoderBlock2D""#, #""AttnDownEncoderBlock2D""#, .unsupportedFeature),
    (#""layers_per_block": 1"#, #""layers_per_block": 2"#, .weights),
    (#""layers_per_block": 1"#, #""layers_per_block": -1"#, .config),
    (#""use_quant_conv": false"#, #""use_quant_conv": true"#, .weights),
  ])
  func autoencodersThatCannotBe(_ old: String, _ new: String, _ expected: ErrorCode) throws {
    let text = try Fixtures.text("image/model/vae/config.json").replacing(old, with: new)
    let json = try JSON.parse(Bytes(Array(text.utf8)))
    let weights = try DiffusionModel.autoencoder.weights()
    #expect(code { _ = try buildComponents(config: json, weights: weights) } == expected)
  }
}
