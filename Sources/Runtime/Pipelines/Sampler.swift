import IR

/// How the next token is chosen from the scores of all. What is chosen among is narrowed in the order of the members,
/// as transformers does.
public struct SamplingOptions: Sendable {
  /// Scores of tokens that have occurred are divided by it when positive, multiplied when negative.
  public var repetitionPenalty = 1.0
  /// 0 takes the most likely token; above, scores are divided by it.
  public var temperature = 0.0
  /// Only the k most likely tokens take part, and those as likely as the last of them; 0 for all.
  public var topK = 0
  /// Only the most likely tokens that together reach this probability take part.
  public var topP = 1.0
  /// Tokens less likely than this part of the most likely one do not take part.
  public var minP = 0.0
  public var seed: UInt64 = 0
  public init() {}
}

/// Chooses tokens; the same seed and scores give the same tokens.
struct Sampler {
  private let options: SamplingOptions
  private var random: SplitMix64
  /// Scratch: the scores, later which tokens take part and how likely each is.
  private var scores: [Float] = []
  private var candidates: [(id: Int, weight: Double)] = []

  /// - Parameter stream: which of several sequences this is, so that each has random numbers of its own.
  init(_ options: SamplingOptions, stream: Int = 0) {
    self.options = options
    // Streams begin far apart: neighbouring states would give the same numbers one place later.
    var places = SplitMix64(state: options.seed &+ UInt64(stream) &* 0xD1B5_4A32_D192_ED03)
    random = stream == 0 ? places : SplitMix64(state: places.next())
  }

  /// The next token. Ties go to the lowest id.
  mutating func next(_ logits: UnsafeBufferPointer<Float>, history: Set<Int>) -> Int {
    if options.repetitionPenalty == 1, options.temperature == 0 { return Sampler.largest(logits) }
    penalize(logits, history)
    guard options.temperature > 0 else { return scores.withUnsafeBufferPointer { Sampler.largest($0) } }
    let sum = narrow()
    var remaining = random.unit() * sum
    for (id, weight) in candidates {
      remaining -= weight
      if remaining < 0 { return id }
    }
    // Rounding, or scores that are no numbers.
    return candidates.last?.id ?? Sampler.largest(logits)
  }

  /// The tokens that take part and the probability of each.
  mutating func distribution(_ logits: [Float], history: Set<Int>) -> [(id: Int, probability: Double)] {
    logits.withUnsafeBufferPointer { penalize($0, history) }
    let sum = narrow()
    return candidates.map { ($0.id, $0.weight / sum) }
  }

  private mutating func penalize(_ logits: UnsafeBufferPointer<Float>, _ history: Set<Int>) {
    scores.removeAll(keepingCapacity: true)
    scores.append(contentsOf: logits)
    guard options.repetitionPenalty != 1 else { return }
    let penalty = Float(options.repetitionPenalty)
    for id in history where id < scores.count {
      scores[id] = scores[id] > 0 ? scores[id] / penalty : scores[id] * penalty
    }
  }

  /// Finds the tokens that take part, with weights in proportion to their probabilities; answers the weights' sum.
  private mutating func narrow() -> Double {
    let least = options.topK > 0 && options.topK < scores.count ? Sampler.ranked(scores, options.topK) : -.infinity
    let top = Double(scores.withUnsafeBufferPointer { $0[Sampler.largest($0)] })
    candidates.removeAll(keepingCapacity: true)
    for (id, score) in scores.enumerated() where score >= least {
      candidates.append((id, exponential((Double(score) - top) / options.temperature)))
    }
    if options.topP < 1 { keepLikeliest() }
    if options.minP > 0 { candidates.removeAll { $0.weight < options.minP } }
    return candidates.reduce(0) { $0 + $1.weight }
  }

  /// Keeps the likeliest candidates that together reach the probability `topP`.
  private mutating func keepLikeliest() {
    let wanted = options.topP * candidates.reduce(0) { $0 + $1.weight }
    // Only as many as it takes are put in order: the likeliest has weight 1.
    var bound = 1e-3
    var likeliest: [(id: Int, weight: Double)] = []
    repeat {
      likeliest = candidates.filter { $0.weight >= bound }
      bound = bound < 1e-30 ? 0 : bound * bound
    } while likeliest.reduce(0, { $0 + $1.weight }) < wanted && likeliest.count < candidates.count
    likeliest.sort { ($0.weight, $1.id) > ($1.weight, $0.id) }
    var reached = 0.0
    let last = likeliest.firstIndex { candidate in
      reached += candidate.weight
      return reached >= wanted
    }
    candidates = Array(likeliest.prefix((last ?? likeliest.count - 1) + 1))
  }

  static func largest(_ scores: UnsafeBufferPointer<Float>) -> Int {
    var best = 0
    for id in scores.indices where scores[id] > scores[best] { best = id }
    return best
  }

  /// The k-th greatest of the values, by parting them around one of them again and again.
  private static func ranked(_ values: [Float], _ k: Int) -> Float {
    var (values, rank) = (values, k)
    while true {
      let pivot = values[values.count / 2]
      let greater = values.filter { $0 > pivot }
      if rank <= greater.count {
        values = greater
        continue
      }
      let smaller = values.filter { $0 < pivot }
      let equal = values.count - greater.count - smaller.count
      if rank <= greater.count + equal || smaller.isEmpty { return pivot }
      rank -= greater.count + equal
      values = smaller
    }
  }
}

/// A small generator of random numbers with a written-down sequence.
///
/// Source: Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014.
package struct SplitMix64 {
  private var state: UInt64

  package init(state: UInt64) { self.state = state }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  /// A number from 0 up to but not including 1.
  package mutating func unit() -> Double { Double(next() >> 11) * 0x1p-53 }
}
