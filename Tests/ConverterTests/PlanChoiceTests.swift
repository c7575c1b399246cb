import TestSupport
import Testing

@testable import Converter

/// The choice keeps its limit, and is nearly the best that there is.
@Suite struct PlanChoiceTests {
  private static func units(_ random: inout SplitMix64, count: Int) -> [[PlanChoice.Candidate]] {
    (0..<count).map { _ in
      (0..<Int.random(in: 1...3, using: &random)).map { _ in
        PlanChoice.Candidate(
          cost: Double(Int.random(in: 0...1000, using: &random)), size: Double(Int.random(in: 1...1000, using: &random))
        )
      }
    }
  }

  /// The least cost of all choices within the limit; nil without one.
  private static func best(_ units: [[PlanChoice.Candidate]], _ limit: Double) -> Double? {
    var sums: [(cost: Double, size: Double)] = [(0, 0)]
    for candidates in units {
      sums = sums.flatMap { sum in candidates.map { (sum.cost + $0.cost, sum.size + $0.size) } }
    }
    return sums.filter { $0.size <= limit }.map(\.cost).min()
  }

  @Test(arguments: 1...40) func isNearTheBest(seed: UInt64) {
    var random = SplitMix64(seed: seed)
    let units = Self.units(&random, count: 7)
    let smallest = PlanChoice.smallest(units)
    #expect(PlanChoice.choose(units, limit: smallest - 1) == nil)
    for share in [0.0, 0.1, 0.3, 0.6, 1] {
      let limit = (smallest + share * 3000).rounded()
      guard let chosen = PlanChoice.choose(units, limit: limit), let best = Self.best(units, limit) else {
        Issue.record("seed \(seed): nothing within \(limit), the smallest takes \(smallest)")
        continue
      }
      let size = zip(units, chosen).reduce(0) { $0 + $1.0[$1.1].size }
      let cost = zip(units, chosen).reduce(0) { $0 + $1.0[$1.1].cost }
      #expect(size <= limit, "seed \(seed)")
      #expect(cost >= best && cost <= best + 250, "seed \(seed), share \(share): \(cost), best \(best)")
    }
  }

  @Test func spendsWhereItHelpsMost() {
    func unit(_ costs: Double...) -> [PlanChoice.Candidate] {
      zip(costs, [4.0, 8, 16]).map { PlanChoice.Candidate(cost: $0, size: $1) }
    }
    let units = [unit(100, 1, 0), unit(10, 1, 0), unit(50, 40, 0)]
    #expect(PlanChoice.choose(units, limit: 12) == [0, 0, 0])
    #expect(PlanChoice.choose(units, limit: 16) == [1, 0, 0])
    #expect(PlanChoice.choose(units, limit: 28) == [1, 0, 2])
    #expect(PlanChoice.choose(units, limit: 1000) == [2, 2, 2])
  }
}
