import Tensors

/// Whether data is fit to calibrate with: not random or shuffled, not constant, not the same again and again, and
/// enough.
///
/// Without a model texts count by their characters, lists of token ids as they are, and only what occurs is counted.
public struct CalibrationLint: Sendable {
  /// What is wrong with the data.
  public struct Problem: Sendable, Equatable {
    /// `constant`, `duplicates`, `ranges-grow`, `random`, `repetitive`, `too-short` or `unknown-token`.
    public let code: String
    public let message: String
  }

  public private(set) var problems: [Problem] = []
  public let sequenceCount: Int
  public let tokenCount: Int
  /// How many different tokens there are.
  public let distinctCount: Int
  /// How often two tokens that are drawn from the data are the same, by how often they would be if all were as
  /// frequent.
  public let concentration: Double
  /// Nil without a model.
  public private(set) var growth: RangeGrowth?

  /// The least tokens of all sequences together.
  static let leastTokens = 512
  /// Below it the data is taken for random: 1 is even, a text by characters is near 5, by words far above.
  static let leastConcentration = 2.0
  /// The most of the layers whose ranges may still grow.
  static let mostGrowing = 0.25

  /// - Parameters:
  ///   - model: a model's folder, for its tokenizer and the ranges of its layers; nil looks at the data alone.
  ///   - limit: the most sequences.
  ///   - length: the most tokens of each.
  public init(_ path: String, model: String?, limit: Int, length: Int, threads: Int) throws {
    let loaded = try model.map { path in
      try LoadedModel(
        path: path,
        options: ModelOptions(activation: Quantizer.activation(ModelLocation(path)), separatesExperts: true))
    }
    let data = try CalibrationData(path, for: loaded, limit: limit, length: length)
    let sequences = data.sequences
    sequenceCount = sequences.count
    tokenCount = sequences.reduce(0) { $0 + $1.count }
    let vocabulary = try loaded.flatMap { try CalibrationLint.vocabulary($0) }
    let counts = sequences.joined().reduce(into: [Int32: Int]()) { $0[$1, default: 0] += 1 }
    distinctCount = counts.count
    let total = Double(tokenCount)
    let same = counts.values.reduce(0.0) { $0 + Double($1) * Double($1 - 1) } / max(total * (total - 1), 1)
    concentration = same * Double(vocabulary ?? counts.count)
    if let vocabulary, let odd = counts.keys.filter({ Int($0) >= vocabulary }).min() {
      note("unknown-token", "token \(odd) is none of the model's \(vocabulary)")
    }
    if tokenCount < CalibrationLint.leastTokens {
      note("too-short", "\(tokenCount) tokens in all; give \(CalibrationLint.leastTokens) or more")
    } else if concentration < CalibrationLint.leastConcentration, counts.count > 1 {
      note("random", "all tokens are about as frequent, as in random numbers; give text that the model is used for")
    } else if let what = CalibrationLint.shuffled(data) {
      note("random", "\(what) follow each other by chance, as in shuffled text; give text that the model is used for")
    }
    look(at: sequences)
    guard let loaded, !problems.contains(where: { $0.code == "unknown-token" }) else { return }
    let growth = try RangeGrowth(loaded, sequences, threads: threads)
    if growth.share > CalibrationLint.mostGrowing {
      note(
        "ranges-grow",
        "the second half of the data widens the inputs of \(growth.growing.count) of \(growth.layers.count) layers by "
          + "more than a tenth; give more data")
    }
    self.growth = growth
  }

  /// What of the data is in no order.
  private static func shuffled(_ data: CalibrationData) -> String? {
    if SymbolOrder.isChance(data.texts.map { Array($0.unicodeScalars) }) { return "characters" }
    if SymbolOrder.isChance(data.texts.map { $0.split(whereSeparator: \.isWhitespace) }) { return "words" }
    return data.texts.isEmpty && SymbolOrder.isChance(data.sequences) ? "tokens" : nil
  }

  private mutating func note(_ code: String, _ message: String) {
    problems.append(Problem(code: code, message: message))
  }

  private mutating func look(at sequences: [[Int32]]) {
    let constant = sequences.indices.filter { CalibrationLint.isConstant(sequences[$0]) }
    if let first = constant.first, 10 * constant.count > sequences.count {
      note(
        "constant", "\(constant.count) of \(sequences.count) sequences are mostly one token, the first is \(first + 1)")
    }
    let repeated = sequences.indices.filter {
      !constant.contains($0) && CalibrationLint.isRepetitive(sequences[$0])
    }
    if let first = repeated.first, 10 * repeated.count > sequences.count {
      note(
        "repetitive", "\(repeated.count) of \(sequences.count) sequences repeat themselves, the first is \(first + 1)")
    }
    let copies = sequences.count - Set(sequences).count
    if 10 * copies > sequences.count {
      note("duplicates", "\(copies) of \(sequences.count) sequences are there more than once")
    }
  }

  /// Whether one token makes more than half of a sequence that is long enough to say so.
  static func isConstant(_ sequence: [Int32]) -> Bool {
    guard sequence.count >= 16 else { return false }
    let most = sequence.reduce(into: [Int32: Int]()) { $0[$1, default: 0] += 1 }.values.max() ?? 0
    return 2 * most > sequence.count
  }

  /// Whether fewer than a fifth of the runs of four tokens are different.
  static func isRepetitive(_ sequence: [Int32]) -> Bool {
    guard sequence.count >= 64 else { return false }
    let runs = (0..<sequence.count - 3).map { Array(sequence[$0..<$0 + 4]) }
    return 5 * Set(runs).count < runs.count
  }

  private static func vocabulary(_ model: LoadedModel) throws -> Int? {
    let config = try model.files.json("config.json")
    return (config?["vocab_size"] ?? config?["text_config"]?["vocab_size"])?.int.map { Int($0) }
  }
}
