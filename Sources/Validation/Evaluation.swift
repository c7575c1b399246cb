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
      let ids = try tokens(line)
      guard ids.count > 1 else { continue }
      session.reset()
      let outputs = try session.run(
        ["input_ids": Tensor(ids.map { Int64($0) }, shape: [1, ids.count])], outputs: ["logits"])
      guard let logits = outputs["logits"] else { throw BessemerError(.modelInput, "the model has no output logits") }
      let width = logits.shape[2]
      logits.bytes.withUnsafeBytes { raw in
        let scores = raw.bindMemory(to: Float.self)
        for position in 0..<ids.count - 1 {
          let row = UnsafeBufferPointer(rebasing: scores[position * width..<(position + 1) * width])
          result.negativeLogLikelihood += Evaluation.surprise(row, Int(ids[position + 1]))
        }
      }
      result.tokens += ids.count - 1
      try progress(k + 1)
    }
    return result
  }

  /// The negative logarithm of the softmax at `target`.
  private static func surprise(_ scores: UnsafeBufferPointer<Float>, _ target: Int) -> Double {
    let largest = Double(scores.max() ?? 0)
    var sum = 0.0
    for score in scores { sum += exponential(Double(score) - largest) }
    return naturalLogarithm(sum) + largest - Double(scores[target])
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
