import Architectures
import IR
import Passes
import Runtime
import TestSupport
import Tensors
import Testing

@Suite struct GlmImageTests {
  private static let language = "vision_language_encoder"
  static let prefix = "model.language_model"

  private func check(
    _ expected: Tensor, _ actual: Tensor?, _ what: String, mask: Tensor? = nil, below bound: Double = 1e-4
  ) throws {
    let error = expected.distance(to: try #require(actual), mask: mask)
    #expect(error < bound, "\(what): \(error)")
  }

  @Test func thereAreModels() { #expect(!GlmImageModel.all.isEmpty) }

  @Test(arguments: GlmImageModel.all, [true, false])
  func languageModelAgreesWithTransformers(_ model: GlmImageModel, _ fused: Bool) throws {
    let session = try model.session(Self.language, "language", fused: fused) { graph in
      for layer in 0..<8 {
        graph.tap("hidden_states.\(layer)", before: "\(Self.prefix).layers.\(layer).input_layernorm.weight")
      }
      graph.tap("last_hidden_state", after: "\(Self.prefix).norm.weight")
    }
    let text = try model.reference("ar_text")
    let run = try session.run(["input_ids": text.tensor("input_ids")])
    #expect(run.count >= 4)
    for (name, tensor) in run { try check(text.tensor(TensorName(name)), tensor, name) }

    let t2i = try model.reference("ar_t2i")
    session.reset()
    let single = try session.run([
      "input_ids": t2i.tensor("input_ids"), "position_ids": t2i.tensor("position_ids"),
    ])
    try check(t2i.tensor("logits"), single["logits"], "t2i")
    session.reset()
    let mask = try t2i.tensor("batch.attention_mask")
    let batch = try session.run([
      "input_ids": t2i.tensor("batch.input_ids"), "position_ids": t2i.tensor("batch.position_ids"),
      "attention_mask": mask,
    ])
    try check(t2i.tensor("batch.logits"), batch["logits"], "batch", mask: mask)
    #expect(mask.integers.contains(0))
  }

  @Test(arguments: GlmImageModel.all)
  func tokenByTokenAgreesWithTransformers(_ model: GlmImageModel) throws {
    let session = try model.session(Self.language, "language")
    let t2i = try model.reference("ar_t2i")
    let (ids, positions) = (try t2i.tensor("input_ids"), try t2i.tensor("position_ids").integers)
    let logits = try t2i.tensor("logits")
    let (length, width) = (ids.shape[1], logits.shape[2])
    var rows: [Float] = []
    for at in 0..<length {
      let step = try session.run([
        "input_ids": Tensor([ids.integers[at]], shape: [1, 1]),
        "position_ids": Tensor((0..<3).map { positions[$0 * length + at] }, shape: [3, 1, 1]),
      ])
      rows += try #require(step["logits"]).floats
    }
    try check(logits, Tensor(rows, shape: [1, length, width]), "logits")
  }

  @Test(arguments: GlmImageModel.all, [true, false])
  func visionTowerAgreesWithTransformers(_ model: GlmImageModel, _ fused: Bool) throws {
    let session = try model.session(Self.language, "vision", fused: fused) { graph in
      graph.tap("visual.patch_embed", after: "model.visual.patch_embed.proj")
      graph.tap("visual.embeddings", before: "model.visual.blocks.0.norm1.weight")
      for layer in 1..<8 {
        graph.tap("visual.block.\(layer - 1)", before: "model.visual.blocks.\(layer).norm1.weight")
      }
    }
    let image = try model.reference("ar_image")
    let rows = try image.tensor("pixel_values")
    let grid = try image.tensor("image_grid_thw").integers.map { Int($0) }
    let pixels = rows.reshaped([1, grid[1], grid[2], rows.shape[1]])
    var run = try session.run(["pixel_values": pixels])
    let expectedTokens = try image.tensor("image_tokens").integers
    let margins = try image.tensor("vq_margin").doubles
    let (tokens, features) = (try #require(run["image_tokens"]), try #require(run["image_features"]))
    run = run.filter { $0.key.hasPrefix("visual.") }
    #expect(tokens.dtype == .int64 && tokens.shape == [1, margins.count])
    for (k, (expected, actual)) in zip(expectedTokens, tokens.integers).enumerated()
    where margins[k] > 1e-5 {
      #expect(expected == actual, "token \(k), margin \(margins[k])")
    }
    let channelsLast = try Transpose(permutation: [1, 2, 0]).evaluate([image.tensor("vision_features_chw")])[0]
    try check(channelsLast.reshaped(features.shape), features, "features")
    #expect(run.count >= 3)
    for (name, tensor) in run {
      let expected = try image.tensor(TensorName(name))
      try check(expected, tensor.reshaped(expected.shape), name)
    }
    // Images of one size run together.
    let pair = Tensor(rows.floats + rows.floats.reversed(), shape: [2, grid[1], grid[2], rows.shape[1]])
    let both = try #require(try session.run(["pixel_values": pair])["image_features"])
    try check(features, Tensor(Array(both.floats.prefix(features.elementCount)), shape: features.shape), "batch")
  }

  @Test(arguments: GlmImageModel.all)
  func imageTokensStandInThePrompt(_ model: GlmImageModel) throws {
    let session = try model.session(Self.language, "language")
    let image = try model.reference("ar_image")
    let placeholder = Int64(try model.json(Self.language + "/config.json").required("image_token_id").asInt())
    var codes = try image.tensor("image_tokens").integers[...]
    let ids = try image.tensor("input_ids")
    let filled = ids.integers.map { $0 == placeholder ? codes.removeFirst() : $0 }
    #expect(codes.isEmpty)
    let run = try session.run([
      "input_ids": Tensor(filled, shape: ids.shape), "position_ids": image.tensor("position_ids"),
    ])
    try check(image.tensor("logits"), run["logits"], "logits")
  }

  @Test(arguments: GlmImageModel.all, [true, false])
  func glyphEncoderAgreesWithTransformers(_ model: GlmImageModel, _ fused: Bool) throws {
    let session = try model.session("text_encoder", "model", fused: fused)
    let reference = try model.reference("t5_glyph")
    for run in ["long", "prompt", "empty"] {
      guard reference[TensorName(run + ".input_ids")] != nil else { continue }
      let mask = try reference.tensor(TensorName(run + ".attention_mask"))
      let outputs = try session.run([
        "input_ids": reference.tensor(TensorName(run + ".input_ids")), "attention_mask": mask,
      ])
      try check(
        reference.tensor(TensorName(run + ".last_hidden_state")), outputs["last_hidden_state"], run, mask: mask)
    }
  }

  @Test(arguments: GlmImageModel.all)
  func passesFindTheFusedForms(_ model: GlmImageModel) throws {
    let config = try model.json(Self.language + "/config.json")
    let layers = try config.required("text_config").required("num_hidden_layers").asInt()
    let depth = try config.required("vision_config").required("depth").asInt()
    let graphs = try model.graphs(Self.language, fused: true)
    func counts(_ name: String) throws -> [String: Int] {
      let graph = try #require(graphs[name])
      return Dictionary(graph.nodeIDs.map { (type(of: graph[$0].op).schema.name, 1) }, uniquingKeysWith: +)
    }
    let language = try counts("language")
    #expect(language["attention"] == layers)
    #expect(language["rotary_embedding"] == 2 * layers)
    #expect(language["rms_norm"] == 4 * layers + 1)
    #expect(language["swiglu"] == layers)
    // Queries, keys and values at once, their output, gate and up at once, down; the head.
    #expect(language["linear"] == 4 * layers + 1)
    #expect(language["matmul"] == nil && language["softmax"] == nil && language["erf"] == nil)
    let vision = try counts("vision")
    #expect(vision["attention"] == depth)
    #expect(vision["layer_norm"] == 2 * depth)
    // Patches, queries, keys and values, their output, the two of the feed-forward; the quantizer and its codes.
    #expect(vision["linear"] == 4 * depth + 3)
    #expect(vision["matmul"] == nil && vision["softmax"] == nil && vision["erf"] == nil)
  }

  @Test(arguments: GlmImageModel.all, [true, false])
  func graphsPrintAndParse(_ model: GlmImageModel, _ fused: Bool) throws {
    for graph in try model.graphs(Self.language, fused: fused).values {
      let again = try Graph(text: graph.text)
      #expect(again.text == graph.text)
      try again.verify()
    }
  }
}
