import IR
import Tensors

/// How far a second model is from a first: measures over positions, with 95 % intervals.
///
/// Positions of one text are not independent. So intervals come from a bootstrap over blocks of neighbouring positions
/// (Künsch 1989, with blocks that do not overlap): as many blocks as there are, drawn with replacement a thousand
/// times,
/// and of what the draws give the 2.5th to the 97.5th percentile. Draws begin from a fixed seed, so the same models and
/// texts give the same intervals.
public struct Agreement: Sendable {
  /// A number and its 95 % interval; nil where there are fewer than two blocks.
  public struct Estimate: Sendable {
    public let value: Double
    public let interval: ClosedRange<Double>?
  }

  /// Positions of a block at most; a block does not go beyond its text.
  public static let blockLength = 32
  /// How often blocks are drawn.
  public static let draws = 1000

  /// Sums over a block.
  private struct Block {
    var count = 0.0
    var divergence = 0.0
    var agreeing = 0.0
    var first = 0.0
    var second = 0.0

    mutating func add(_ other: Block) {
      count += other.count
      divergence += other.divergence
      agreeing += other.agreeing
      first += other.first
      second += other.second
    }
  }

  private var blocks: [Block] = []
  private var divergences: [Double] = []
  private var beginsBlock = true

  init() {}

  /// For each layer the squares of what the first model gives, and of the differences of the second from it.
  private var layers: [(own: Double, difference: Double)] = []

  /// Takes in what a layer of each gives.
  mutating func add(layer: Int, _ first: Tensor, _ second: Tensor) {
    while layers.count <= layer { layers.append((0, 0)) }
    for (a, b) in zip(first.floats, second.floats) {
      layers[layer].own += Double(a) * Double(a)
      layers[layer].difference += Double(a - b) * Double(a - b)
    }
  }

  /// For each layer how far the second model is from the first: the length of the differences of what they give, by
  /// the length of what the first gives.
  public var layerErrors: [Double] { layers.map { $0.own > 0 ? ($0.difference / $0.own).squareRoot() : 0 } }

  /// What comes belongs to another text.
  mutating func beginSequence() { beginsBlock = true }

  /// Takes in one position and the token that follows there.
  mutating func add(_ first: Scores, _ second: Scores, next: Int) {
    if beginsBlock || blocks[blocks.count - 1].count == Double(Agreement.blockLength) { blocks.append(Block()) }
    beginsBlock = false
    let divergence = first.divergence(of: second)
    divergences.append(divergence)
    blocks[blocks.count - 1].add(
      Block(
        count: 1, divergence: divergence, agreeing: first.top == second.top ? 1 : 0, first: first.surprise(of: next),
        second: second.surprise(of: next)))
  }

  // MARK: Results

  public var positions: Int { divergences.count }

  /// All measures.
  public struct Summary: Sendable {
    /// The mean Kullback-Leibler divergence of the second model from the first, in nats.
    public let divergence: Estimate
    /// The part of positions at which both find the same token likeliest.
    public let topOne: Estimate
    /// The perplexity of each, and the second's divided by the first's.
    public let first: Estimate
    public let second: Estimate
    public let ratio: Estimate
    /// Divergences that so many percent of the positions stay below or reach.
    public let percentiles: [(percent: Double, value: Double)]
  }

  public static let percents = [50.0, 90, 95, 99, 99.9, 100]

  /// The measures over all positions; there must be one.
  public func summary() -> Summary {
    let total = blocks.reduce(into: Block()) { $0.add($1) }
    var random = DeterministicRandom()
    let samples: [Block] =
      blocks.count < 2
      ? []
      : (0..<Agreement.draws).map { _ in
        var sum = Block()
        for _ in blocks.indices { sum.add(blocks[random.next(below: blocks.count)]) }
        return sum
      }
    func estimate(_ measure: (Block) -> Double) -> Estimate {
      let drawn = samples.map(measure).sorted()
      guard let low = drawn.percentile(2.5), let high = drawn.percentile(97.5), low <= high else {
        return Estimate(value: measure(total), interval: nil)
      }
      return Estimate(value: measure(total), interval: low...high)
    }
    let sorted = divergences.sorted()
    return Summary(
      divergence: estimate { $0.divergence / $0.count }, topOne: estimate { $0.agreeing / $0.count },
      first: estimate { exponential($0.first / $0.count) }, second: estimate { exponential($0.second / $0.count) },
      ratio: estimate { exponential(($0.second - $0.first) / $0.count) },
      percentiles: Agreement.percents.map { ($0, sorted.percentile($0) ?? .nan) })
  }
}

extension [Double] {
  /// The value at a percentile of sorted values, between two of them in proportion; nil without values.
  func percentile(_ percent: Double) -> Double? {
    guard !isEmpty else { return nil }
    let place = percent / 100 * Double(count - 1)
    let below = Int(place)
    let rest = place - Double(below)
    return rest == 0 ? self[below] : self[below] + rest * (self[below + 1] - self[below])
  }
}

/// Random numbers that are the same each time. Source: the 64-bit linear congruence of Knuth's MMIX, its upper half.
private struct DeterministicRandom {
  private var state: UInt64 = 1

  mutating func next(below bound: Int) -> Int {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Int(((state >> 32) * UInt64(bound)) >> 32)
  }
}
