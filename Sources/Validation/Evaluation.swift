import IR
public import Runtime
import Tensors
public import Tokenizers

/// How well a language model does on texts and questions.
public struct Evaluation {
  private let session: Session
  private let tokenizer: Tokenizer
  /// The token that every sequence begins with; nil lets the tokenizer add what its file says.
  private let begin: Int32?
  private let stop: Set<Int>

  /// - Parameters:
  ///   - begin: `bos_token_id` of the model.
  ///   - stop: `eos_token_id`, one or several.
  public init(_ session: Session, _ tokenizer: Tokenizer, begin: Int32?, stop: Set<Int>) {
    self.session = session
    self.tokenizer = tokenizer
    self.begin = begin
    self.stop = stop
  }

  // MARK: Perplexity

  /// The sum of the negative logarithms of the probabilities that the model gave to `tokens` tokens.
  public struct Perplexity: Sendable {
    public var negativeLogLikelihood = 0.0
    public var tokens = 0
    /// exp of the mean; infinity when a token was impossible, NaN without tokens.
    public var value: Double { exponential(negativeLogLikelihood / Double(tokens)) }
  }

  /// The perplexity over lines, each a sequence of its own. Empty lines are left out.
  public func perplexity(_ lines: [String], progress: (Int) throws -> Void = { _ in }) throws -> Perplexity {
    var result = Perplexity()
    for (k, line) in lines.enumerated() where !line.isEmpty {
      try read(line, with: [session]) { scores, next in
        result.negativeLogLikelihood += scores[0].surprise(of: next)
        result.tokens += 1
      }
      try progress(k + 1)
    }
    return result
  }

  // MARK: A second model

  /// How far a second model is from this one over the same lines, position by position.
  ///
  /// - Parameter layers: outputs of both to hold against each other, in order.
  /// - Throws: ``ErrorCode/modelInput`` when the two do not know the same number of tokens.
  public func agreement(
    with second: Session, _ lines: [String], layers: [String] = [], progress: (Int) throws -> Void = { _ in }
  ) throws -> Agreement {
    var result = Agreement()
    for (k, line) in lines.enumerated() where !line.isEmpty {
      result.beginSequence()
      try read(line, with: [session, second], layers) { own, other, layer in
        result.add(layer: layer, own, other)
      } body: { scores, next in
        result.add(scores[0], scores[1], next: next)
      }
      try progress(k + 1)
    }
    return result
  }

  /// Positions that go through a model at once, so that their scores fit in memory.
  private static let positionsAtOnce = 128

  /// Runs a line through models and gives their scores at each position with the token that follows there.
  /// Of two models the tensors of `layers` are given to `compare`.
  private func read(
    _ line: String, with sessions: [Session], _ layers: [String] = [],
    compare: (Tensor, Tensor, Int) throws -> Void = { _, _, _ in }, body: ([Scores], Int) -> Void
  ) throws {
    let ids = try tokens(line)
    guard ids.count > 1 else { return }
    for session in sessions { session.reset() }
    for start in stride(from: 0, to: ids.count - 1, by: Evaluation.positionsAtOnce) {
      let end = min(start + Evaluation.positionsAtOnce, ids.count - 1)
      let input = Tensor(ids[start..<end].map { Int64($0) }, shape: [1, end - start])
      let results = try sessions.map { try $0.run(["input_ids": input], outputs: Set(layers + ["logits"])) }
      let logits = try results.map { result in
        guard let logits = result["logits"] else {
          throw BessemerError(.modelInput, "the model has no output logits")
        }
        return logits
      }
      for (k, name) in layers.enumerated() {
        guard let own = results[0][name], let other = results[1][name], own.shape == other.shape else {
          throw BessemerError(.modelInput, "the layers of the two models do not give the same sizes")
        }
        try compare(own, other, k)
      }
      guard logits.allSatisfy({ $0.shape == logits[0].shape }) else {
        throw BessemerError(
          .modelInput, "the second model knows \(logits[1].shape[2]) tokens, the first \(logits[0].shape[2])")
      }
      guard ids[start...end].allSatisfy({ $0 < logits[0].shape[2] }) else {
        throw BessemerError(.modelInput, "the tokenizer gives tokens beyond the model's \(logits[0].shape[2])")
      }
      for position in start..<end {
        body(logits.map { Scores($0, position - start) }, Int(ids[position + 1]))
      }
    }
  }

  // MARK: Exact match

  /// A prompt and the one right answer.
  public struct Question: Decodable, Sendable {
    public var kind: String?
    public var prompt: String
    public var answer: String
  }

  /// Right answers of all, by kind.
  public struct ExactMatch: Sendable {
    public var right: [String: Int] = [:]
    public var asked: [String: Int] = [:]
    /// What was answered, in the order of the questions.
    public var answers: [String] = []
    /// The part of all questions that was answered right.
    public var value: Double { Double(right.values.reduce(0, +)) / Double(max(asked.values.reduce(0, +), 1)) }
    /// The part of each kind.
    public var kinds: [(kind: String, value: Double)] {
      asked.sorted { $0.key < $1.key }.map { ($0.key, Double(right[$0.key] ?? 0) / Double($0.value)) }
    }
  }

  /// Greedy answers of at most `limit` tokens, compared character by character.
  public func exactMatch(_ questions: [Question], limit: Int = 40, progress: (Int) throws -> Void = { _ in }) throws
    -> ExactMatch
  {
    var result = ExactMatch()
    let generator = try Generator(session)
    for (k, question) in questions.enumerated() {
      let kind = question.kind ?? "all"
      let ids = try generator.generate([tokens(question.prompt)], count: limit, stop: stop)[0]
      let answer = try tokenizer.decode(ids.map { Int32($0) })
      result.answers.append(answer)
      result.asked[kind, default: 0] += 1
      if answer == question.answer { result.right[kind, default: 0] += 1 }
      try progress(k + 1)
    }
    return result
  }

  /// The questions of a file with one JSON object a line.
  public static func questions(_ text: String) throws -> [Question] {
    try text.split(separator: "\n").enumerated().map { number, line in
      do { return try JSON.parse(String(line)).decode() } catch let error as BessemerError {
        throw BessemerError(error.code, "line \(number + 1): \(error.message)")
      }
    }
  }

  private func tokens(_ text: String) throws -> [Int32] {
    guard let begin else { return try tokenizer.encode(text) }
    return [begin] + (try tokenizer.encode(text, addSpecialTokens: false))
  }
}
