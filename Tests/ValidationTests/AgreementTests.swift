import TestSupport
import Tensors
import Testing

@testable import Validation

@Suite struct AgreementTests {
  private func scores(_ values: [Float]) -> Scores { Scores(Tensor(values, shape: [1, 1, values.count]), 0) }

  private func probabilities(_ values: [Float]) -> [Double] {
    // Small scores need no shift.
    let powers = values.map { x in
      (0..<40).reduce((sum: 0.0, term: 1.0)) { ($0.sum + $0.term, $0.term * Double(x) / Double($1 + 1)) }.sum
    }
    return powers.map { $0 / powers.reduce(0, +) }
  }

  @Test func divergencesAndSurprisesOfKnownScores() {
    let (a, b): ([Float], [Float]) = ([0, 1, 2, -1], [1, 0.5, 2.5, 0])
    let (p, q) = (probabilities(a), probabilities(b))
    #expect(scores(a).top == 2 && scores([1, 3, 3]).top == 1)
    // ln p - ln q from the scores themselves.
    let logarithm = scores(b).surprise(of: 0) + 1 - scores(a).surprise(of: 0)
    let expected = zip(p, zip(a, b)).reduce(0.0) { $0 + $1.0 * (Double($1.1.0) - Double($1.1.1) + logarithm) }
    #expect(abs(scores(a).divergence(of: scores(b)) - expected) < 1e-12)
    #expect(scores(a).divergence(of: scores(a)) == 0)
    #expect(scores(a).divergence(of: scores(b)) > 0 && q.count == 4)
    let hidden: [Float] = [0, -.infinity, 1]
    #expect(scores(hidden).divergence(of: scores([0, -.infinity, 1])) == 0)
    #expect(scores(hidden).divergence(of: scores([0, 5, 1])) < 10)
    #expect(scores([0, 0, 1]).divergence(of: scores(hidden)) == .infinity)
    #expect(scores([1e4, -1e4]).surprise(of: 1) == 2e4)
  }

  private func agreement(sequences: Int, positions: Int, noise: Double, seed: UInt64 = 1) -> Agreement {
    var random = SplitMix64(seed: seed)
    var result = Agreement()
    for _ in 0..<sequences {
      result.beginSequence()
      for _ in 0..<positions {
        let a = (0..<8).map { _ in Float.random(in: -2...2, using: &random) }
        let b = a.map { $0 + Float(noise) * Float.random(in: -1...1, using: &random) }
        result.add(scores(a), scores(b), next: 3)
      }
    }
    return result
  }

  @Test func intervalsHoldTheValueAndAreTheSameEachTime() throws {
    let summary = agreement(sequences: 20, positions: 50, noise: 0.5).summary()
    let again = agreement(sequences: 20, positions: 50, noise: 0.5).summary()
    for (estimate, other) in [
      (summary.divergence, again.divergence), (summary.topOne, again.topOne), (summary.first, again.first),
      (summary.second, again.second), (summary.ratio, again.ratio),
    ] {
      let interval = try #require(estimate.interval)
      #expect(interval.contains(estimate.value) && interval.lowerBound < interval.upperBound)
      #expect(interval == other.interval && estimate.value == other.value)
    }
    #expect(summary.topOne.value > 0.5 && summary.topOne.value < 1)
    #expect(summary.percentiles.map(\.percent) == Agreement.percents)
    #expect(zip(summary.percentiles, summary.percentiles.dropFirst()).allSatisfy { $0.value <= $1.value })
    // Four times the texts halve the interval, roughly.
    let more = agreement(sequences: 80, positions: 50, noise: 0.5).summary().divergence
    let (wide, narrow) = (try #require(summary.divergence.interval), try #require(more.interval))
    let ratio = (narrow.upperBound - narrow.lowerBound) / (wide.upperBound - wide.lowerBound)
    #expect(ratio > 0.3 && ratio < 0.8, "\(ratio)")
  }

  @Test func whatIsTheSameAgrees() {
    let summary = agreement(sequences: 3, positions: 40, noise: 0).summary()
    #expect(summary.divergence.value == 0 && summary.divergence.interval == 0...0)
    #expect(summary.topOne.value == 1 && summary.ratio.value == 1)
    let single = agreement(sequences: 1, positions: 32, noise: 1).summary()
    #expect(single.divergence.interval == nil && single.divergence.value > 0)
    #expect(agreement(sequences: 1, positions: 33, noise: 1).summary().divergence.interval != nil)
  }

  @Test func percentilesLieBetween() {
    #expect([Double]().percentile(50) == nil)
    #expect([3.0].percentile(99) == 3)
    #expect([1.0, 2, 4].percentile(50) == 2 && [1.0, 2, 4].percentile(75) == 3 && [1.0, 2, 4].percentile(100) == 4)
  }
}
