import IR
import Images
import Runtime
import Tensors
import Tokenizers

/// The making of one picture.
final class ImageRun {
  private let pipeline: ImagePipeline
  private let request: ImageRequest
  private let progress: (ImagePipeline.Stage, Int, Int) -> Void
  private let tap: (String, Tensor) throws -> Void
  private var seconds: [(stage: ImagePipeline.Stage, seconds: Double)] = []
  private var byteCount = 0

  init(
    _ pipeline: ImagePipeline, _ request: ImageRequest, progress: @escaping (ImagePipeline.Stage, Int, Int) -> Void,
    tap: @escaping (String, Tensor) throws -> Void
  ) {
    (self.pipeline, self.request, self.progress, self.tap) = (pipeline, request, progress, tap)
  }

  /// A picture to edit: its visual tokens, and the picture in the size that they stand for.
  private struct Source {
    let image: RGBImage
    let grid: VisualGrid
    let tokens: [Int64]
  }

  /// What the transformer gets of a picture to edit.
  private struct Condition {
    let latents: Tensor
    let source: Source
  }

  func run() throws -> ImagePipeline.Result {
    guard request.guidance.isFinite else {
      throw BessemerError(.usage, "the guidance is \(request.guidance), expected a number")
    }
    let codec = try component("vae") { try LatentCodec(config: pipeline.json("vae/config.json")) }
    let scheduler = try component("scheduler") {
      try FlowMatchSchedule.Configuration(json: pipeline.json("scheduler/scheduler_config.json"))
    }
    let images = try request.images.map { try RGBImage(pngAt: $0) }
    var conditions: [Condition] = []
    if !images.isEmpty {
      conditions = try timed(.pictures) { try self.conditions(images, codec) }
    }
    let first = conditions.first?.source.image
    let (height, width) = (request.height ?? first?.height ?? 1024, request.width ?? first?.width ?? 1024)
    let grids = try TargetGrids(height: height, width: width, isEdit: !images.isEmpty)
    guard height * width <= RGBImage.maximumFilePixelCount else {
      throw BessemerError(
        .limit, "a picture of \(width) × \(height) pixels, at most \(RGBImage.maximumFilePixelCount) are made")
    }
    let noise = try noise(height: height, width: width, codec)
    let schedule = try FlowMatchSchedule(scheduler, steps: request.steps, patches: 4 * grids.target.count)

    let (text, empty) = try timed(.glyphs) { try glyphs() }
    let tokens = try timed(.tokens) { try self.tokens(conditions.map(\.source), grids) }
    let guidance = empty.map { (scale: Float(request.guidance), emptyText: $0) }
    let target = LatentDenoiser.Target(height: height, width: width, text: text, guidance: guidance, tokens: tokens)
    let latents = try timed(.latents) { try denoise(noise, target, schedule, conditions) }
    let sample = try timed(.decoding) {
      progress(.decoding, 0, 1)
      return try with("vae/decoder") { try codec.decode(latents, self.session($0)) }
    }
    try tap("vae_raw", sample)
    return ImagePipeline.Result(image: try LatentCodec.image(of: sample), seconds: seconds, byteCount: byteCount)
  }

  // MARK: Stages

  private func conditions(_ images: [RGBImage], _ codec: LatentCodec) throws -> [Condition] {
    let processor = try processor()
    let side = TargetGrids.pixels
    let sources = try with("vision_language_encoder/vision") { model in
      let session = session(model)
      return try images.enumerated().map { k, image in
        progress(.pictures, k, 2 * images.count)
        let pixels = try processor.pixelValues(of: image)
        let grid = try VisualGrid(height: pixels.shape[1], width: pixels.shape[2])
        guard let tokens = try session.run(["pixel_values": pixels], outputs: ["image_tokens"])["image_tokens"] else {
          throw BessemerError(.modelInput, "the vision tower has no output image_tokens")
        }
        try tap("condition.\(k).tokens", tokens)
        // Latents and tokens must be of the same patches.
        let sized = try image.resized(width: side * grid.width, height: side * grid.height, filter: .lanczos)
        return Source(image: sized, grid: grid, tokens: tokens.integers)
      }
    }
    return try with("vae/encoder") { model in
      let session = session(model)
      return try sources.enumerated().map { k, source in
        progress(.pictures, images.count + k, 2 * images.count)
        let latents = try codec.encode(source.image, session)
        try tap("condition.\(k).latents", latents)
        return Condition(latents: latents, source: source)
      }
    }
  }

  /// What the prompt's quotations are encoded to, and nothing if that is needed.
  private func glyphs() throws -> (text: Tensor, empty: Tensor?) {
    let tokenizer = try component("tokenizer") {
      try ByteTokenizer(json: pipeline.set.files.json("tokenizer/tokenizer_config.json"))
    }
    return try with("text_encoder") { model in
      progress(.glyphs, 0, 1)
      let encoder = try GlyphEncoder(session(model), tokenizer: tokenizer)
      let text = try encoder.encode([request.prompt])
      try tap("prompt_embeds", text)
      guard request.guidance > 1 else { return (text, nil) }
      let empty = try encoder.encode([""])
      try tap("negative_prompt_embeds", empty)
      return (text, empty)
    }
  }

  /// The visual tokens of the picture, on the finer grid.
  private func tokens(_ sources: [Source], _ grids: TargetGrids) throws -> [Int64] {
    let tokenizer = try component("processor") { try Tokenizer(json: pipeline.json("processor/tokenizer.json")) }
    let (vocabulary, sampling) = try component("vision_language_encoder") {
      (
        try VisualVocabulary(config: pipeline.json("vision_language_encoder/config.json")),
        try VisualSampling(
          json: pipeline.set.files.json("vision_language_encoder/generation_config.json"), seed: request.seed)
      )
    }
    let prompt = try VisualPrompt(
      request.prompt, sources: sources.map { ($0.grid, $0.tokens) }, grids: grids, tokenizer: tokenizer,
      vocabulary: vocabulary)
    try tap("input_ids", Tensor(prompt.ids.map { Int64($0) }, shape: [1, prompt.ids.count]))
    let generated = try with("vision_language_encoder/language", lastPositionOnly: true) { model in
      let session = session(model, capacity: prompt.ids.count + grids.count)
      let generator = try VisualTokenGenerator(session, vocabulary: vocabulary)
      return try generator.generate([prompt], sampling) { progress(.tokens, $0, $1) }[0]
    }
    try tap("generated_tokens", Tensor(generated, shape: [1, generated.count]))
    let tokens = grids.target.doubled(grids.targetTokens(generated))
    try tap("prior_token_ids", Tensor(tokens, shape: [1, tokens.count]))
    return tokens
  }

  private func denoise(
    _ noise: Tensor, _ target: LatentDenoiser.Target, _ schedule: FlowMatchSchedule, _ conditions: [Condition]
  ) throws -> Tensor {
    try tap("latents_init", noise)
    try tap("sigmas", Tensor(schedule.sigmas, shape: [schedule.sigmas.count]))
    let total = schedule.timesteps.count
    progress(.latents, 0, total)
    return try with("transformer") { model in
      let denoiser = try LatentDenoiser(model)
      var calls = 0
      func note(_ answer: Tensor) throws {
        try tap("dit_call.\(calls)", answer)
        calls += 1
      }
      for condition in conditions {
        let source = condition.source
        try note(
          denoiser.show(
            condition.latents, height: source.image.height, width: source.image.width,
            tokens: source.grid.doubled(source.tokens)))
      }
      let latents = try denoiser.denoise(noise, target, schedule) { step, latents, answers in
        try answers.forEach(note)
        try tap("latents.\(step)", latents)
        progress(.latents, step + 1, total)
      }
      byteCount = max(byteCount, denoiser.peakByteCount + model.parameterByteCount)
      return latents
    }
  }

  // MARK: Parts

  private func processor() throws -> GlmImageProcessor {
    try component("processor") {
      let files = pipeline.set.files
      guard
        let json = try files.json("processor/processor_config.json")
          ?? files.json("processor/preprocessor_config.json")
      else { throw BessemerError(.fileMissing, "the pipeline has neither processor_config.json nor its older form") }
      return try GlmImageProcessor(json: json)
    }
  }

  /// The given noise, or drawn noise.
  private func noise(height: Int, width: Int, _ codec: LatentCodec) throws -> Tensor {
    let shape = [1, codec.channels, height / codec.scale, width / codec.scale]
    guard let given = request.latents else {
      // Not the numbers that visual tokens are drawn with.
      return NormalNoise.tensor(shape: shape, seed: request.seed ^ 0xD1FF_0510_4E01_5E00)
    }
    guard given.shape == shape, given.dtype.isFloat else {
      throw BessemerError(.modelInput, "the latents are \(given.type), expected \(TensorType(.float32, shape: shape))")
    }
    return try given.cast(to: .float32)
  }

  private var sessions: [Session] = []

  private func session(_ model: Model, capacity: Int = 0) -> Session {
    let session = Session(model, capacity: capacity)
    sessions.append(session)
    return session
  }

  private func with<R>(_ name: String, lastPositionOnly: Bool = false, _ body: (Model) throws -> R) throws -> R {
    let (result, parameters) = try pipeline.with(name, lastPositionOnly: lastPositionOnly, body)
    byteCount = max(byteCount, parameters + (sessions.map(\.peakByteCount).max() ?? 0))
    sessions = []
    return result
  }

  /// Errors of `body` name the folder of the component.
  private func component<R>(_ name: String, _ body: () throws -> R) throws -> R {
    try inFile(pipeline.set.path + "/" + name, body)
  }

  private func timed<R>(_ stage: ImagePipeline.Stage, _ body: () throws -> R) throws -> R {
    let clock = ContinuousClock()
    let start = clock.now
    defer { seconds.append((stage, (clock.now - start) / .seconds(1))) }
    return try body()
  }
}
