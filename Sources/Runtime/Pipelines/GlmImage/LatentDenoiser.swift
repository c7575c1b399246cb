internal import IR
public import Tensors

/// Makes latents of a picture out of noise with GLM-Image's diffusion transformer.
///
/// Pictures to edit are shown to the model once each; their keys and values are looked at by every step that follows
/// the prompt, and by none that does not. Source: `pipeline_glm_image.py` of diffusers.
public final class LatentDenoiser {
  private let model: Model
  /// Holds the keys and values of pictures to edit.
  private let memory: Session
  private let textWidth: Int
  /// The largest amount of memory that activations and states took at once, in bytes.
  public private(set) var peakByteCount = 0

  /// What a picture is to be.
  public struct Target: Sendable {
    /// Pixels.
    public var height: Int
    public var width: Int
    /// Of the prompt's glyphs, [1, length, width].
    public var text: Tensor
    /// The same of no text, and how much further than it the prompt is followed; nil to follow the prompt alone.
    public var guidance: (scale: Float, emptyText: Tensor)?
    /// Visual tokens of the finer grid, row by row.
    public var tokens: [Int64]

    public init(
      height: Int, width: Int, text: Tensor, guidance: (scale: Float, emptyText: Tensor)?, tokens: [Int64]
    ) {
      (self.height, self.width, self.text, self.guidance, self.tokens) = (height, width, text, guidance, tokens)
    }
  }

  /// - Throws: ``ErrorCode/modelInput`` when the model is no such transformer.
  public init(_ model: Model) throws {
    let graph = model.graph
    guard let text = graph.input(named: "encoder_hidden_states"), let width = graph.type(of: text.value).dims[2].value,
      graph.input(named: "prior_token_id") != nil, graph.outputs.contains(where: { $0.name == "sample" })
    else { throw BessemerError(.modelInput, "the model does not denoise latents") }
    self.model = model
    memory = Session(model)
    textWidth = width
  }

  /// Shows the model a picture to edit: its latents [1, channels, …], its size in pixels and its visual tokens.
  /// - Returns: what the model says of it, which is of no use but to compare.
  @discardableResult
  public func show(_ latents: Tensor, height: Int, width: Int, tokens: [Int64]) throws -> Tensor {
    let nothing = Tensor([Float](), shape: [1, 0, textWidth])
    return try run(
      memory, latents, text: nothing, tokens: tokens, drops: false, timestep: 0, height: height, width: width)
  }

  /// The latents after all steps of a schedule from `latents`, which are noise, on. `onStep` gets those after each
  /// step, and the model's answers to the prompt and to no text.
  public func denoise(
    _ latents: Tensor, _ target: Target, _ schedule: FlowMatchSchedule,
    onStep: (_ index: Int, _ latents: Tensor, _ answers: [Tensor]) throws -> Void = { _, _, _ in }
  ) throws -> Tensor {
    let following = Session(reading: memory)
    let free = memory.past == 0 ? following : Session(reading: Session(model))
    var latents = latents
    for (index, timestep) in schedule.timesteps.enumerated() {
      try Interrupt.check()
      func answer(_ session: Session, _ text: Tensor, drops: Bool) throws -> Tensor {
        try run(
          session, latents, text: text, tokens: target.tokens, drops: drops, timestep: timestep - 1,
          height: target.height, width: target.width)
      }
      var answers = [try answer(following, target.text, drops: false)]
      var direction = answers[0]
      if let (scale, empty) = target.guidance {
        answers.append(try answer(free, empty, drops: true))
        let values = zip(answers[0].floats, answers[1].floats).map { $1 + scale * ($0 - $1) }
        direction = Tensor(values, shape: direction.shape)
      }
      latents = schedule.step(latents, direction, at: index)
      try onStep(index, latents, answers)
    }
    return latents
  }

  private func run(
    _ session: Session, _ latents: Tensor, text: Tensor, tokens: [Int64], drops: Bool, timestep: Float, height: Int,
    width: Int
  ) throws -> Tensor {
    let drop = Bytes([UInt8](repeating: drops ? 1 : 0, count: tokens.count))
    let outputs = try session.run(
      [
        "hidden_states": latents, "encoder_hidden_states": text,
        "prior_token_id": Tensor(tokens, shape: [1, tokens.count]),
        "prior_token_drop": Tensor(.bool, shape: [1, tokens.count], bytes: drop),
        "timestep": Tensor([timestep], shape: [1]),
        "target_size": Tensor([Float(height), Float(width)], shape: [1, 2]),
      ], outputs: ["sample"])
    guard let sample = outputs["sample"] else { preconditionFailure("no sample") }
    peakByteCount = max(peakByteCount, session.peakByteCount)
    return sample
  }
}
