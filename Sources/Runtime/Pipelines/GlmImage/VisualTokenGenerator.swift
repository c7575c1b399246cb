internal import IR
public import Tensors

/// How visual tokens are chosen.
public struct VisualSampling: Sendable {
  public var sampling: SamplingOptions
  /// Tokens that are never chosen, beside those that are no visual tokens.
  public var suppressed: [Int]

  public init(sampling: SamplingOptions, suppressed: [Int] = []) {
    self.sampling = sampling
    self.suppressed = suppressed
  }

  /// Reads a generation_config.json; without one, or a member, what transformers would do: `top_k` is 50 then.
  public init(json: JSON?, seed: UInt64) throws {
    sampling = SamplingOptions()
    sampling.seed = seed
    func number(_ key: String, _ standard: Double) throws -> Double {
      let value = try json?.optional(key)?.asDouble() ?? standard
      guard value >= 0 else { throw BessemerError(.config, "\(key) is \(value), expected no negative number") }
      return value
    }
    let samples = try json?.optional("do_sample")?.asBool() ?? true
    sampling.temperature = samples ? try number("temperature", 1) : 0
    sampling.topP = try number("top_p", 1)
    sampling.topK = try json?.optional("top_k")?.asInt(in: 0...1 << 31) ?? 50
    suppressed = try json?.optional("suppress_tokens")?.asArray().map { try $0.asInt() } ?? []
  }
}

/// Continues prompts of GLM-Image's language model by the visual tokens of a picture, its preview first.
///
/// Only visual tokens are chosen, and as many as the picture has: the token that ends a picture is not among them, so a
/// picture never ends early.
public final class VisualTokenGenerator {
  private let session: Session
  private let vocabulary: VisualVocabulary

  /// - Throws: ``ErrorCode/modelInput`` when the model is no language model whose positions have three axes.
  public init(_ session: Session, vocabulary: VisualVocabulary) throws {
    let graph = session.model.graph
    guard let positions = graph.input(named: "position_ids"), graph.type(of: positions.value).dims.first == 3,
      let logits = graph.outputs.first(where: { $0.name == "logits" }),
      let count = graph.type(of: logits.value).dims.last?.value, count >= vocabulary.codeCount
    else { throw BessemerError(.modelInput, "the model does not generate visual tokens") }
    self.session = session
    self.vocabulary = vocabulary
  }

  /// The tokens of each prompt, as many as its grids have; `targetTokens` of the grids tells which are the picture's.
  ///
  /// Prompts of different lengths are padded on the left; all must be for pictures of one size. `onToken` hears how
  /// many tokens of each there are.
  public func generate(
    _ prompts: [VisualPrompt], _ options: VisualSampling, onToken: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws -> [[Int64]] {
    guard let grids = prompts.first?.grids, prompts.allSatisfy({ $0.grids == grids && !$0.ids.isEmpty }) else {
      throw BessemerError(.modelInput, "prompts of one run must be for pictures of one size")
    }
    session.reset()
    var samplers = prompts.indices.map { Sampler(options.sampling, stream: $0) }
    let hidden = options.suppressed.filter { (0..<vocabulary.codeCount).contains($0) }
    let batch = PaddedVisualPrompts(prompts)
    var inputs = batch.inputs
    var results = [[Int64]](repeating: [], count: prompts.count)
    for step in 0..<grids.count {
      try Interrupt.check()
      guard let logits = try session.run(inputs, outputs: ["logits"])["logits"] else {
        preconditionFailure("no logits")
      }
      let (length, width) = (logits.shape[1], logits.shape[2])
      for k in prompts.indices {
        var scores = logits.bytes.withUnsafeBytes { raw in
          let start = (k * length + length - 1) * width
          return Array(raw.bindMemory(to: Float.self)[start..<start + vocabulary.codeCount])
        }
        for id in hidden { scores[id] = -.infinity }
        results[k].append(Int64(scores.withUnsafeBufferPointer { samplers[k].next($0, history: []) }))
      }
      onToken(step + 1, grids.count)
      inputs = batch.step(results.map { $0[step] }, after: step)
    }
    return results
  }
}

/// Prompts of different lengths as one batch: shorter ones start later, hidden by the mask.
private struct PaddedVisualPrompts {
  private let prompts: [VisualPrompt]
  private let width: Int
  let inputs: [String: Tensor]

  init(_ prompts: [VisualPrompt]) {
    self.prompts = prompts
    let width = prompts.map(\.ids.count).max() ?? 0
    self.width = width
    func padded<T>(_ padding: T, _ values: (VisualPrompt) -> [T]) -> [T] {
      prompts.flatMap { [T](repeating: padding, count: width - $0.ids.count) + values($0) }
    }
    let positions = padded(VisualPosition(1)) { $0.positions.prompt }
    let shape = [prompts.count, width]
    inputs = [
      "input_ids": Tensor(padded(Int64(0)) { $0.ids.map { Int64($0) } }, shape: shape),
      "attention_mask": Tensor(padded(Int64(0)) { $0.ids.map { _ in 1 } }, shape: shape),
      "position_ids": Tensor(positions.axes, shape: [3] + shape),
    ]
  }

  /// The inputs for one more token each, the `step`-th after the prompts.
  func step(_ tokens: [Int64], after step: Int) -> [String: Tensor] {
    let total = width + step + 1
    let mask = prompts.flatMap { prompt in (0..<total).map { Int64($0 < width - prompt.ids.count ? 0 : 1) } }
    return [
      "input_ids": Tensor(tokens, shape: [tokens.count, 1]),
      "attention_mask": Tensor(mask, shape: [tokens.count, total]),
      "position_ids": Tensor(prompts.map { $0.positions.generated[step] }.axes, shape: [3, tokens.count, 1]),
    ]
  }
}
