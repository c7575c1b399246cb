import IR
import Images
import TestSupport
import Tensors
import Testing
import Tokenizers

@testable import Runtime

extension GlmImageModel {
  func tokenizer() throws -> Tokenizer { try Tokenizer(json: json("processor/tokenizer.json")) }

  func byteTokenizer() throws -> ByteTokenizer { try ByteTokenizer(json: json("tokenizer/tokenizer_config.json")) }

  func vocabulary() throws -> VisualVocabulary {
    try VisualVocabulary(config: json("vision_language_encoder/config.json"))
  }

  func processor() throws -> GlmImageProcessor {
    try GlmImageProcessor(json: json("processor/processor_config.json"))
  }

  /// What the reference scripts were run with.
  func manifest() throws -> JSON { try Fixtures.json("glm_image/\(name)/ref/manifest.json").required("tokenizer") }

  /// The prompt of new pictures, and that of edits.
  func prompts() throws -> [String] {
    try manifest().required("texts").asArray().prefix(2).map { try $0.asString() }
  }

  /// The picture that is edited.
  func image() throws -> RGBImage {
    let tensor = try reference("processor").tensor("i2i.image_u8_hwc")
    return try RGBImage(
      width: tensor.shape[1], height: tensor.shape[0], pixels: tensor.integers.map { UInt8($0) })
  }

  /// The prompts of two new pictures and of an edit, as the pipeline makes them.
  func visualPrompts() throws -> (created: [VisualPrompt], edited: VisualPrompt) {
    let (texts, tokenizer, vocabulary) = (try prompts(), try tokenizer(), try vocabulary())
    // Grids are [1, rows, columns]: that of the picture to edit, and of the one that is made.
    let grids = try reference("processor").tensor("i2i.image_grid_thw").integers.map { Int($0) }
    let (height, width) = (32 * grids[4], 32 * grids[5])
    let created = try texts.map { text in
      try VisualPrompt(
        text, grids: TargetGrids(height: height, width: width, isEdit: false), tokenizer: tokenizer,
        vocabulary: vocabulary)
    }
    let source = VisualPrompt.Source(
      grid: try VisualGrid(height: grids[1], width: grids[2]),
      tokens: try reference("ar_image").tensor("image_tokens").integers)
    let edited = try VisualPrompt(
      texts[1], sources: [source], grids: TargetGrids(height: height, width: width, isEdit: true),
      tokenizer: tokenizer, vocabulary: vocabulary)
    return (created, edited)
  }
}

@Suite struct GlmImagePipelineTests {
  private static let language = "vision_language_encoder"

  @Test(arguments: GlmImageModel.all)
  func picturesAreReadAsTheProcessorDoes(_ model: GlmImageModel) throws {
    let reference = try model.reference("processor")
    let rows = try reference.tensor("i2i.pixel_values")
    let grid = try reference.tensor("i2i.image_grid_thw").integers.map { Int($0) }
    let values = try model.processor().pixelValues(of: model.image())
    #expect(values.shape == [1, grid[1], grid[2], rows.shape[1]])
    #expect(rows.distance(to: values.reshaped(rows.shape)) < 1e-5)
  }

  @Test func sizesAreThoseOfTheProcessor() throws {
    let model = GlmImageModel(name: "tiny")
    let cases = try model.manifest().required("sizes").asArray().map { try $0.asArray().map { try $0.asInt() } }
    #expect(cases.count > 40)
    for item in cases {
      let text = """
        {"patch_size": \(item[4]), "temporal_patch_size": 1, "merge_size": 1,
         "size": {"shortest_edge": \(item[2]), "longest_edge": \(item[3])}}
        """
      let size = try GlmImageProcessor(json: JSON.parse(text)).size(height: item[0], width: item[1])
      #expect([size.height, size.width] == [item[5], item[6]], "\(item)")
    }
  }

  @Test func picturesAreResizedAsPillowDoes() throws {
    let reference = try GlmImageModel(name: "tiny").reference("resized")
    func image(_ name: String) throws -> RGBImage {
      let tensor = try reference.tensor(TensorName(name))
      return try RGBImage(width: tensor.shape[1], height: tensor.shape[0], pixels: tensor.integers.map { UInt8($0) })
    }
    #expect(reference.entries.count == 18)
    for k in 0..<6 {
      for (name, filter) in [("bicubic", ResamplingFilter.bicubic), ("lanczos", .lanczos)] {
        let expected = try image("\(k).\(name)")
        let actual = try image("\(k).old").resized(width: expected.width, height: expected.height, filter: filter)
        #expect(actual == expected, "\(k), \(name)")
      }
    }
  }

  @Test(arguments: GlmImageModel.all)
  func promptsAreLaidOutAsTheProcessorDoes(_ model: GlmImageModel) throws {
    let processor = try model.reference("processor")
    let (created, edited) = try model.visualPrompts()
    #expect(created[0].ids.map { Int64($0) } == (try processor.tensor("t2i.input_ids").integers))
    let padded = try processor.tensor("batch.input_ids")
    for (k, prompt) in created.enumerated() {
      let row = padded.integers[k * padded.shape[1]..<(k + 1) * padded.shape[1]]
      #expect(prompt.ids.map { Int64($0) } == row.suffix(prompt.ids.count))
    }
    let placeholder = try Int64(model.vocabulary().placeholder)
    var tokens = try model.reference("ar_image").tensor("image_tokens").integers[...]
    let expected = try processor.tensor("i2i.input_ids").integers.map { $0 == placeholder ? tokens.removeFirst() : $0 }
    #expect(edited.ids.map { Int64($0) } == expected)
  }

  @Test(arguments: GlmImageModel.all)
  func positionsAreThoseOfTransformers(_ model: GlmImageModel) throws {
    let (created, edited) = try model.visualPrompts()
    for (prompt, file) in [(created[0], "ar_t2i"), (edited, "ar_image")] {
      let reference = try model.reference(file)
      #expect(prompt.positions.prompt.axes == (try reference.tensor("position_ids").integers))
      #expect(prompt.positions.generated.axes == (try reference.tensor("decode_position_ids").integers))
    }
  }

  /// Greedy, as far as the best two scores are apart.
  private func check(_ tokens: [Int64], _ expected: ArraySlice<Int64>, _ scores: [Float], _ codes: Int) {
    let width = scores.count / expected.count
    for (k, token) in expected.enumerated() where k < tokens.count {
      let best = scores[k * width..<k * width + codes].sorted(by: >)
      #expect(tokens[k] == token || best[0] - best[1] < 1e-4, "token \(k)")
      guard tokens[k] == token else { return }
    }
  }

  @Test(arguments: GlmImageModel.all, [true, false])
  func greedyTokensAreThoseOfTransformers(_ model: GlmImageModel, _ fused: Bool) throws {
    let reference = try model.reference("ar_greedy")
    let vocabulary = try model.vocabulary()
    let generator = try VisualTokenGenerator(
      model.session(Self.language, "language", fused: fused), vocabulary: vocabulary)
    let (created, edited) = try model.visualPrompts()
    let options = VisualSampling(sampling: SamplingOptions())
    for (name, prompts) in [("t2i", [created[0]]), ("i2i", [edited]), ("batch", created)] {
      let results = try generator.generate(prompts, options)
      let expected = try reference.tensor(TensorName(name + ".new_tokens"))
      let scores = try reference.tensor(TensorName(name + ".raw_logits")).floats
      let (length, rowScores) = (expected.shape[1], scores.count / prompts.count)
      for k in prompts.indices {
        #expect(results[k].count == prompts[k].grids.count)
        check(
          results[k], expected.integers[k * length..<(k + 1) * length],
          Array(scores[k * rowScores..<(k + 1) * rowScores]), vocabulary.codeCount)
      }
    }
  }

  /// The tokens that the whole pipeline chose by sampling among one, and the finer grid it made of the picture's own.
  @Test(arguments: GlmImageModel.all)
  func priorTokensAreThoseOfDiffusers(_ model: GlmImageModel) throws {
    let generator = try VisualTokenGenerator(
      model.session(Self.language, "language"), vocabulary: model.vocabulary())
    let options = try VisualSampling(json: model.json(Self.language + "/generation_config.json"), seed: 5)
    #expect(options.sampling.topK == 1 && options.sampling.temperature > 0)
    let (created, edited) = try model.visualPrompts()
    for (file, prompt) in [("pipeline_t2i", created[0]), ("pipeline_i2i", edited)] {
      let reference = try model.reference(file)
      let tokens = try generator.generate([prompt], options)[0]
      #expect(tokens == Array(try reference.tensor("generated_tokens").integers.prefix(tokens.count)))
      let grids = prompt.grids
      #expect(grids.target.doubled(grids.targetTokens(tokens)) == (try reference.tensor("prior_token_ids").integers))
    }
  }

  /// Each step by the reference's own tokens: what is generated stands at the positions that it should.
  @Test(arguments: GlmImageModel.all)
  func stepsAgreeWithTransformers(_ model: GlmImageModel) throws {
    let session = try model.session(Self.language, "language")
    let (reference, inputs) = (try model.reference("ar_greedy"), try model.reference("ar_t2i"))
    let tokens = try reference.tensor("t2i.new_tokens").integers
    let expected = try reference.tensor("t2i.raw_logits")
    let width = expected.shape[2]
    let positions = try inputs.tensor("decode_position_ids")
    var run = try session.run([
      "input_ids": inputs.tensor("input_ids"), "position_ids": inputs.tensor("position_ids"),
    ])
    var rows = try #require(run["logits"]).floats.suffix(width)
    for (step, token) in tokens.dropLast().enumerated() {
      let place = (0..<3).map { positions.integers[$0 * positions.shape.last! + step] }
      run = try session.run([
        "input_ids": Tensor([token], shape: [1, 1]), "position_ids": Tensor(place, shape: [3, 1, 1]),
      ])
      rows += try #require(run["logits"]).floats
    }
    #expect(expected.distance(to: Tensor(Array(rows), shape: expected.shape)) < 1e-4)
  }

  @Test(arguments: GlmImageModel.all)
  func glyphsAreEncodedAsDiffusersDoes(_ model: GlmImageModel) throws {
    let reference = try model.reference("t5_glyph")
    let encoder = try GlyphEncoder(model.session("text_encoder", "model"), tokenizer: model.byteTokenizer())
    let prompts = try model.prompts()
    for (name, texts) in [
      ("prompt_embeds", [prompts[0]]), ("negative_prompt_embeds", [""]), ("batch_left_padded", prompts),
    ] {
      let error = try reference.tensor(TensorName(name)).distance(to: encoder.encode(texts))
      #expect(error < 1e-4, "\(name): \(error)")
    }
  }

  @Test(arguments: GlmImageModel.all)
  func textsAreFoundAndCutAsDiffusersDoes(_ model: GlmImageModel) throws {
    let manifest = try model.manifest()
    func list(_ key: String) throws -> [JSON] { try manifest.required(key).asArray().map { $0 } }
    let texts = try list("texts").map { try $0.asString() }
    let tokenizer = try model.byteTokenizer()
    for (text, ids) in zip(texts, try list("byt5_ids")) {
      let expected = try ids.asArray().map { Int32(try $0.asInt()) }
      #expect(try tokenizer.encode(text) == expected)
      #expect(try ByteTokenizer(json: nil).encode(text) == expected)
    }
    let glyphs = try list("glyph_texts").map { try $0.asArray().map { try $0.asString() } }
    #expect(glyphs.count == 3 && glyphs[0].count == 2)
    for (prompt, expected) in zip(texts.prefix(2) + ["“x” and 「y」 'z' \"w\""], glyphs) {
      #expect(GlyphEncoder.texts(in: prompt) == expected)
    }
  }
}
