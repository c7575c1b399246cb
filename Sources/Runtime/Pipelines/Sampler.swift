import IR

/// How the next token is chosen from the scores of all.
public struct SamplingOptions: Sendable {
  /// 0 takes the most likely token; above, scores are divided by it.
  public var temperature = 0.0
  /// Only the k most likely tokens take part; 0 for all.
  public var topK = 0
  /// Only the most likely tokens that together reach this probability take part.
  public var topP = 1.0
  /// Tokens less likely than this part of the most likely one do not take part.
  public var minP = 0.0
  /// Scores of tokens that have occurred are divided by it when positive, multiplied when negative.
  public var repetitionPenalty = 1.0
  public var seed: UInt64 = 0
  public init() {}
}

/// Chooses tokens; the same seed and scores give the same tokens.
struct Sampler {
  private let options: SamplingOptions
  private var random: SplitMix64

  /// - Parameter stream: which of several sequences this is, so that each has random numbers of its own.
  init(_ options: SamplingOptions, stream: Int = 0) {
    self.options = options
    random = SplitMix64(state: options.seed &+ UInt64(stream) &* 0x9E37_79B9_7F4A_7C15)
  }

  /// The next token. Ties go to the lowest id.
  mutating func next(_ logits: [Float], history: Set<Int>) -> Int {
    var scores = logits
    if options.repetitionPenalty != 1 {
      let penalty = Float(options.repetitionPenalty)
      for id in history where id < scores.count {
        scores[id] = scores[id] > 0 ? scores[id] / penalty : scores[id] * penalty
      }
    }
    guard options.temperature > 0 else { return Sampler.largest(scores) }
    var order = Array(scores.indices)
    order.sort { (scores[$0], $1) > (scores[$1], $0) }
    if options.topK > 0 { order = Array(order.prefix(options.topK)) }
    let top = Double(scores[order[0]])
    var weights = order.map { exponential((Double(scores[$0]) - top) / options.temperature) }
    if options.minP > 0 { weights = Array(weights.prefix { $0 >= options.minP }) }
    var sum = weights.reduce(0, +)
    if options.topP < 1 {
      var reached = 0.0
      let count = weights.firstIndex { weight in
        reached += weight
        return reached >= options.topP * sum
      }
      weights = Array(weights.prefix((count ?? weights.count - 1) + 1))
      sum = weights.reduce(0, +)
    }
    var remaining = random.unit() * sum
    for (id, weight) in zip(order, weights) {
      remaining -= weight
      if remaining < 0 { return id }
    }
    return order[weights.count - 1]
  }

  static func largest(_ scores: [Float]) -> Int {
    var best = 0
    for (id, score) in scores.enumerated() where score > scores[best] { best = id }
    return best
  }
}

/// A small generator of random numbers with a written-down sequence.
///
/// Source: Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014.
struct SplitMix64 {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  /// A number from 0 up to but not including 1.
  mutating func unit() -> Double { Double(next() >> 11) * 0x1p-53 }
}
