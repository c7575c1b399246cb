import TestSupport
import Tensors
import Testing

@testable import Runtime

/// Not the generator of the same name that sampling uses.
typealias Random = TestSupport.SplitMix64

/// Random windows, and what they mean by counting.
struct Windows {
  var random: Random

  mutating func pick(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &random) }

  mutating func shape(rank: Int) -> [Int] {
    (0..<rank).map { _ in pick(0...9) == 0 ? 0 : [1, 1, 2, 3, 4, 6][pick(0...5)] }
  }

  /// A window made by transposing, slicing and repeating memory.
  mutating func view() -> View {
    var view = View(.slot(0), .float32, shape: shape(rank: pick(0...5)))
    for _ in 0..<pick(0...4) where view.rank > 0 {
      let axis = pick(0...view.rank - 1)
      let size = view.shape[axis]
      switch pick(0...2) {
      case 0: view = view.transposed(Array(0..<view.rank).shuffled(using: &random))
      case 1:
        let step = pick(1...2)
        let from = pick(0...max(size - 1, 0))
        let count = size == 0 ? 0 : pick(0...max((size - from - 1) / step + 1, 0))
        view = view.sliced(axis, from: from, count: count == 0 && pick(0...3) != 0 ? min(size, 1) : count, step: step)
      default:
        guard size == 1 else { continue }
        var shape = view.shape
        shape[axis] = pick(1...3)
        view = view.expanded(to: shape)
      }
    }
    return view
  }

  /// Another shape of as many elements.
  mutating func shape(of count: Int) -> [Int] {
    guard count > 0 else { return [0, pick(0...3)].shuffled(using: &random) }
    var (rest, shape): (Int, [Int]) = (count, [])
    while rest > 1 {
      let factors = (2...rest).filter { rest % $0 == 0 }
      shape.append(factors[pick(0...factors.count - 1)])
      rest /= shape[shape.count - 1]
    }
    for _ in 0..<pick(0...2) { shape.insert(1, at: pick(0...shape.count)) }
    return shape
  }
}

extension View {
  /// The offset of every element in row-major order.
  var places: [Int] {
    var result = [offset]
    for (size, stride) in zip(shape, strides) {
      result = result.flatMap { start in (0..<size).map { start + $0 * stride } }
    }
    return result
  }
}

@Suite struct ViewTests {
  /// Whether strides exist that walk `places` under `shape`.
  private func exists(_ places: [Int], _ shape: [Int]) -> Bool {
    var view = View(.slot(0), .float32, shape: shape)
    let counts = view.strides
    view.offset = places[0]
    for k in shape.indices { view.strides[k] = shape[k] > 1 ? places[counts[k]] - places[0] : 0 }
    return view.places == places
  }

  @Test func reshapingKeepsTheElements() {
    for seed: UInt64 in 0..<4000 {
      var windows = Windows(random: Random(seed: seed))
      let view = windows.view()
      let shape = windows.shape(of: view.elementCount)
      let places = view.places
      #expect(places.count == view.elementCount)
      if let reshaped = view.reshaped(shape) {
        #expect(reshaped.shape == shape)
        #expect(reshaped.places == places, "seed \(seed): \(view) as \(shape)")
      } else {
        #expect(!exists(places, shape), "seed \(seed): \(view) as \(shape) needs no copy")
      }
    }
  }

  @Test func collapsedStridesWalkTheElements() {
    for seed: UInt64 in 0..<4000 {
      var windows = Windows(random: Random(seed: seed))
      let view = windows.view()
      guard view.elementCount > 0 else { continue }
      let end = windows.pick(0...view.rank)
      let range = windows.pick(0...end)..<end
      var part = view
      (part.shape, part.strides) = (Array(view.shape[range]), Array(view.strides[range]))
      let places = part.places
      if let stride = view.collapsed(range) {
        #expect(places == places.indices.map { view.offset + $0 * stride }, "seed \(seed): \(view) \(range)")
      } else {
        #expect(!exists(places, [places.count]), "seed \(seed): \(view) \(range) has one stride")
      }
      if let rows = view.rows {
        #expect(rows.count * rows.width == view.elementCount, "seed \(seed): \(view)")
        let starts = (0..<rows.count).map { view.offset + $0 * rows.stride }
        #expect(view.places == starts.flatMap { $0..<$0 + rows.width }, "seed \(seed): \(view) has \(rows)")
        #expect(rows.stride >= rows.width)
      }
      let isRowMajor = view.places == Array(view.offset..<view.offset + view.elementCount)
      #expect(view.isContiguous == isRowMajor, "seed \(seed): \(view)")
    }
  }

  @Test func mergedWindowsWalkTheSamePairs() {
    for seed: UInt64 in 0..<4000 {
      var windows = Windows(random: Random(seed: seed))
      let a = windows.view()
      guard a.elementCount > 0 else { continue }
      var b = View(.slot(1), .float32, shape: a.shape)
      let order = Array(0..<a.rank).shuffled(using: &windows.random)
      if windows.pick(0...1) == 0 {
        b = View(.slot(1), .float32, shape: order.map { a.shape[$0] }).transposed(order.indices.map { k in order.firstIndex(of: k)! })
      }
      #expect(b.shape == a.shape)
      let merged = View.merged(a, b)
      func walk(_ strides: [Int], _ offset: Int) -> [Int] {
        var view = View(.slot(0), .float32, shape: merged.shape)
        (view.strides, view.offset) = (strides, offset)
        return view.places
      }
      let pairs = Dictionary(uniqueKeysWithValues: zip(b.places, a.places))
      let after = Dictionary(uniqueKeysWithValues: zip(walk(merged.b, b.offset), walk(merged.a, a.offset)))
      #expect(pairs == after, "seed \(seed): \(a) to \(b)")
      #expect(merged.shape.count <= a.rank && !merged.shape.contains(1))
    }
  }
}

@Suite struct MemoryPlanTests {
  @Test func slotsThatLiveTogetherDoNotOverlap() {
    for seed: UInt64 in 0..<300 {
      var random = Random(seed: seed)
      let slots = (0..<Int.random(in: 0...60, using: &random)).map { k in
        let first = Int.random(in: 0...40, using: &random)
        let last = k % 11 == 0 ? Int.max : first + Int.random(in: 0...6, using: &random)
        let size = Int.random(in: 0...4, using: &random) == 0 ? 0 : Int.random(in: 1...5000, using: &random)
        return MemoryPlan.Slot(byteCount: size, first: first, last: last)
      }
      let plan = MemoryPlan(slots)
      #expect(plan.offsets.count == slots.count)
      for (i, a) in slots.enumerated() {
        #expect(plan.offsets[i] % MemoryPlan.alignment == 0)
        #expect(plan.offsets[i] + a.byteCount <= plan.byteCount, "seed \(seed)")
        for (j, b) in slots.enumerated().dropFirst(i + 1) where a.first <= b.last && b.first <= a.last {
          let apart =
            plan.offsets[i] + a.byteCount <= plan.offsets[j] || plan.offsets[j] + b.byteCount <= plan.offsets[i]
          #expect(apart, "seed \(seed): slots \(i) and \(j)")
        }
      }
      func rounded(_ n: Int) -> Int { (n + MemoryPlan.alignment - 1) / MemoryPlan.alignment * MemoryPlan.alignment }
      let needed = (0...60).map { step in
        slots.filter { $0.first <= step && step <= $0.last }.reduce(0) { $0 + rounded($1.byteCount) }
      }
      let least = needed.max() ?? 0
      #expect(plan.byteCount >= least)
      #expect(Double(plan.byteCount) <= 1.3 * Double(least), "seed \(seed): \(plan.byteCount) bytes, at least \(least)")
    }
  }
}
