import IR
import Tensors

/// Continues token sequences with a language model: one pass over the prompts, then a token at a time with the cache.
public final class Generator {
  /// What a generation took.
  public struct Statistics: Sendable {
    public var promptTokens = 0
    public var newTokens = 0
    /// Tokens that were run through the model one at a time: all new ones but the last of each sequence.
    public var decodedTokens = 0
    public var prefill = Duration.zero
    public var decode = Duration.zero

    public init() {}

    /// Tokens a second.
    public var prefillRate: Double { Double(promptTokens) / max(prefill / .seconds(1), 1e-9) }
    public var decodeRate: Double { Double(decodedTokens) / max(decode / .seconds(1), 1e-9) }
  }

  /// For how many new tokens at most the cache has room before it must grow.
  private static let reservedCount = 512

  private let session: Session
  public private(set) var statistics = Statistics()

  /// The model must have an input `input_ids` and an output `logits`.
  public init(_ session: Session) throws {
    guard session.model.graph.input(named: "input_ids") != nil,
      session.model.graph.outputs.contains(where: { $0.name == "logits" })
    else {
      throw BessemerError(.modelInput, "the model does not generate text: it has no input_ids or no logits")
    }
    self.session = session
  }

  /// Appends up to `count` tokens to each prompt; a sequence ends at a token of `stop`, which is not returned.
  ///
  /// Prompts of different lengths are padded on the left. `onToken` sees each token of each sequence as it comes and
  /// answers whether the sequence goes on.
  public func generate(
    _ prompts: [[Int32]], count: Int, sampling: SamplingOptions = SamplingOptions(), stop: Set<Int> = [],
    onToken: (_ sequence: Int, _ token: Int) throws -> Bool = { _, _ in true }
  ) throws -> [[Int]] {
    guard !prompts.isEmpty, prompts.allSatisfy({ !$0.isEmpty }) else {
      throw BessemerError(.modelInput, "a prompt has no tokens")
    }
    session.reset()
    statistics = Statistics()
    var results = [[Int]](repeating: [], count: prompts.count)
    guard count > 0 else { return results }
    var samplers = prompts.indices.map { Sampler(sampling, stream: $0) }
    var histories = prompts.map { Set($0.map { Int($0) }) }
    var open = [Bool](repeating: true, count: prompts.count)
    let batch = LeftPadded(prompts)
    session.reserve(batch.width + min(count, Generator.reservedCount))
    let clock = ContinuousClock()
    var start = clock.now
    var logits = try scores(batch.inputs)
    statistics.promptTokens = prompts.reduce(0) { $0 + $1.count }
    statistics.prefill = clock.now - start
    start = clock.now
    for step in 0..<count {
      try Interrupt.check()
      var next = [Int64](repeating: 0, count: prompts.count)
      for k in prompts.indices {
        let token = Generator.withLastScores(of: k, in: logits) { samplers[k].next($0, history: histories[k]) }
        next[k] = Int64(token)
        guard open[k] else { continue }
        guard !stop.contains(token) else {
          open[k] = false
          continue
        }
        results[k].append(token)
        histories[k].insert(token)
        statistics.newTokens += 1
        open[k] = try onToken(k, token)
      }
      guard open.contains(true), step + 1 < count else { break }
      logits = try scores(batch.step(next, after: step))
      statistics.decodedTokens += open.count { $0 }
    }
    statistics.decode = clock.now - start
    return results
  }

  /// The scores of every token at the last position, [batch, positions, vocabulary].
  private func scores(_ inputs: [String: Tensor]) throws -> Tensor {
    let known = inputs.filter { session.model.graph.input(named: $0.key) != nil }
    guard let logits = try session.run(known, outputs: ["logits"])["logits"] else { preconditionFailure("no logits") }
    return logits
  }

  private static func withLastScores(
    of sequence: Int, in logits: Tensor, _ body: (UnsafeBufferPointer<Float>) -> Int
  ) -> Int {
    let (length, vocabulary) = (logits.shape[1], logits.shape[2])
    return logits.bytes.withUnsafeBytes { raw in
      let start = (sequence * length + length - 1) * vocabulary
      return body(UnsafeBufferPointer(rebasing: raw.bindMemory(to: Float.self)[start..<start + vocabulary]))
    }
  }
}

/// Prompts of different lengths as one batch: shorter ones start later, hidden by the mask, with positions from 0.
struct LeftPadded {
  private let lengths: [Int]
  let width: Int
  let inputs: [String: Tensor]

  init(_ prompts: [[Int32]]) {
    lengths = prompts.map(\.count)
    width = lengths.max() ?? 0
    var (ids, mask, positions): ([Int64], [Int64], [Int64]) = ([], [], [])
    for prompt in prompts {
      let padding = [Int64](repeating: 0, count: width - prompt.count)
      ids += padding + prompt.map { Int64($0) }
      mask += padding + prompt.map { _ in 1 }
      positions += padding + prompt.indices.map { Int64($0) }
    }
    let shape = [prompts.count, width]
    inputs = [
      "input_ids": Tensor(ids, shape: shape), "attention_mask": Tensor(mask, shape: shape),
      "position_ids": Tensor(positions, shape: shape),
    ]
  }

  /// The inputs for one more token each, the `step`-th after the prompts.
  func step(_ tokens: [Int64], after step: Int) -> [String: Tensor] {
    let total = width + step + 1
    let mask = lengths.flatMap { length in (0..<total).map { Int64($0 < width - length ? 0 : 1) } }
    return [
      "input_ids": Tensor(tokens, shape: [tokens.count, 1]),
      "attention_mask": Tensor(mask, shape: [tokens.count, total]),
      "position_ids": Tensor(lengths.map { Int64($0 + step) }, shape: [tokens.count, 1]),
    ]
  }
}
