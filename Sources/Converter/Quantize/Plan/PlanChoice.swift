/// Chooses one of several candidates for each unit: the least cost where sizes together stay within a limit.
///
/// From the smallest candidates on, steps along each unit's convex hull are taken by cost saved for size added, as far
/// as they fit; then single changes and exchanges of two units fill what is left. Everything is decided in a fixed
/// order.
enum PlanChoice {
  struct Candidate {
    /// What is to be small.
    let cost: Double
    /// What is bounded.
    let size: Double
  }

  private struct Step {
    let unit: Int
    let from: Int
    let to: Int
    let rate: Double
  }

  /// The smallest sum of sizes that there is.
  static func smallest(_ units: [[Candidate]]) -> Double {
    units.reduce(0) { $0 + $1[least($1)].size }
  }

  /// For each unit the number of its candidate; nil when even the smallest are beyond the limit.
  static func choose(_ units: [[Candidate]], limit: Double) -> [Int]? {
    var chosen = units.map(least)
    guard size(units, chosen) <= limit else { return nil }
    let steps = units.indices.flatMap { hull(units[$0], $0) }
      .sorted { ($1.rate, $0.unit) < ($0.rate, $1.unit) }
    var used = size(units, chosen)
    for step in steps where chosen[step.unit] == step.from {
      let added = units[step.unit][step.to].size - units[step.unit][step.from].size
      guard used + added <= limit else { continue }
      chosen[step.unit] = step.to
      used += added
    }
    for _ in 0..<(4 * units.count) {
      guard let next = better(units, chosen, limit) else { break }
      chosen = next
    }
    return chosen
  }

  private static func size(_ units: [[Candidate]], _ chosen: [Int]) -> Double {
    zip(units, chosen).reduce(0) { $0 + $1.0[$1.1].size }
  }

  private static func least(_ candidates: [Candidate]) -> Int {
    candidates.indices.min {
      (candidates[$0].size, candidates[$0].cost) < (candidates[$1].size, candidates[$1].cost)
    } ?? 0
  }

  /// The steps from the smallest candidate to the one that costs least, each the steepest from where it starts.
  private static func hull(_ candidates: [Candidate], _ unit: Int) -> [Step] {
    var steps: [Step] = []
    var place = least(candidates)
    while true {
      let own = candidates[place]
      let ahead = candidates.indices.filter { candidates[$0].cost < own.cost && candidates[$0].size > own.size }
      func rate(_ k: Int) -> Double { (own.cost - candidates[k].cost) / (candidates[k].size - own.size) }
      guard let next = ahead.max(by: { (rate($0), candidates[$1].size) < (rate($1), candidates[$0].size) }) else {
        return steps
      }
      steps.append(Step(unit: unit, from: place, to: next, rate: rate(next)))
      place = next
    }
  }

  /// More units than this are not exchanged in pairs.
  private static let maximumPaired = 1000

  /// The change of one unit or of two that saves most; nil when none saves anything.
  private static func better(_ units: [[Candidate]], _ chosen: [Int], _ limit: Double) -> [Int]? {
    let room = limit - size(units, chosen)
    var best: (gain: Double, changes: [(unit: Int, to: Int)]) = (0, [])
    /// Of each unit the changes that save cost, and those that give room.
    var saving: [(unit: Int, to: Int, gain: Double, added: Double)] = []
    var freeing: [(unit: Int, to: Int, gain: Double, added: Double)] = []
    for (unit, candidates) in units.enumerated() {
      let own = candidates[chosen[unit]]
      for (k, other) in candidates.enumerated() where k != chosen[unit] {
        let change = (unit, k, own.cost - other.cost, other.size - own.size)
        if change.2 > 0 {
          saving.append(change)
          if change.3 <= room, change.2 > best.gain { best = (change.2, [(unit, k)]) }
        } else if change.3 < 0 {
          freeing.append(change)
        }
      }
    }
    if units.count <= maximumPaired {
      for a in saving where a.gain > best.gain {
        for b in freeing where b.unit != a.unit && a.added + b.added <= room && a.gain + b.gain > best.gain {
          best = (a.gain + b.gain, [(a.unit, a.to), (b.unit, b.to)])
        }
      }
    }
    guard !best.changes.isEmpty else { return nil }
    var next = chosen
    for change in best.changes { next[change.unit] = change.to }
    // A sum in another order may round another way.
    return size(units, next) <= limit ? next : nil
  }
}
