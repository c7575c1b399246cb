import IR
import Tensors

/// The greatest elements along the last axis and their places, as PyTorch's CPU kernel finds them: of equal ones those
/// that the algorithms of its C++ library come upon. Scores of 16 bits are often equal.
///
/// Sources: `topk_impl_loop` of PyTorch 2.15; `nth_element`, `partial_sort` and `sort` of libstdc++.
struct ExpertChoice: Op {
  static let schema = OpSchema("calibration.expert_choice", operands: ["scores"])
  let k: Int
  /// Whether the choices come in order, else as they were found.
  let isSorted: Bool

  func infer(_ operands: [TensorType]) throws(OpError) -> [TensorType] { try TopK(k: k).infer(operands) }

  func evaluate(_ operands: [Tensor]) throws -> [Tensor] {
    let scores = operands[0]
    let (values, width) = (scores.floats, scores.shape[scores.rank - 1])
    var (chosen, places): ([Float], [Int64]) = ([], [])
    for start in stride(from: 0, to: values.count, by: max(width, 1)) {
      var ranking = Ranking(Array(values[start..<start + width]))
      if k * 64 <= width {
        ranking.partialSort(k)
      } else {
        ranking.select(k - 1)
        if isSorted { ranking.sort(k - 1) }
      }
      chosen += ranking.items.prefix(k).map(\.score)
      places += ranking.items.prefix(k).map { Int64($0.place) }
    }
    let shape: [Int] = scores.shape.dropLast() + [k]
    return [try Tensor(chosen, shape: shape).cast(to: scores.dtype), Tensor(places, shape: shape)]
  }

  /// Puts it in the place of all choices of a graph.
  static func run(on graph: inout Graph) {
    for id in graph.nodeIDs {
      let node = graph[id]
      guard let top = node.op as? TopK else { continue }
      // Families that look at the scores chosen by have them sorted.
      let isSorted = !graph.users(of: node.results[0]).isEmpty || graph.isRoot(node.results[0])
      _ = graph.replace(id, with: ExpertChoice(k: top.k, isSorted: isSorted), node.operands)
    }
    graph.eraseDeadNodes()
    graph.sortTopologically()
  }
}

/// Scores with their places, the greatest first.
private struct Ranking {
  typealias Item = (score: Float, place: Int)
  var items: [Item]

  init(_ scores: [Float]) { items = scores.enumerated().map { ($0.element, $0.offset) } }

  private func precedes(_ a: Item, _ b: Item) -> Bool { a.score.isNaN && !b.score.isNaN || a.score > b.score }
  private func precedes(_ a: Int, _ b: Int) -> Bool { precedes(items[a], items[b]) }

  /// Puts the item of a rank where it belongs, better ones before it.
  mutating func select(_ rank: Int) {
    var (first, last) = (0, items.count)
    guard rank < last else { return }
    var rounds = 2 * (Int.bitWidth - 1 - last.leadingZeroBitCount)
    while last - first > 3 {
      if rounds == 0 {
        selectByHeap(first, rank + 1, last)
        items.swapAt(first, rank)
        return
      }
      rounds -= 1
      let cut = partition(first, last)
      if cut <= rank { first = cut } else { last = cut }
    }
    insert(first, last)
  }

  /// Sorts the first items.
  mutating func sort(_ count: Int) {
    guard count > 1 else { return }
    separate(0, count, 2 * (Int.bitWidth - 1 - count.leadingZeroBitCount))
    insert(0, min(count, 16))
    for index in stride(from: 16, to: count, by: 1) { insertFromBehind(index) }
  }

  /// The best so many, sorted.
  mutating func partialSort(_ count: Int) {
    selectByHeap(0, count, items.count)
    sortHeap(0, count)
  }

  /// Parts of more than 16 items, each before the next.
  private mutating func separate(_ first: Int, _ end: Int, _ rounds: Int) {
    var (last, rounds) = (end, rounds)
    while last - first > 16 {
      if rounds == 0 {
        selectByHeap(first, last, last)
        sortHeap(first, last)
        return
      }
      rounds -= 1
      let cut = partition(first, last)
      separate(cut, last, rounds)
      last = cut
    }
  }

  /// Around the median of three items.
  private mutating func partition(_ first: Int, _ last: Int) -> Int {
    let (a, b, c) = (first + 1, first + (last - first) / 2, last - 1)
    let median =
      precedes(a, b)
      ? precedes(b, c) ? b : precedes(a, c) ? c : a : precedes(a, c) ? a : precedes(b, c) ? c : b
    items.swapAt(first, median)
    var (low, high) = (first + 1, last)
    while true {
      while precedes(low, first) { low += 1 }
      high -= 1
      while precedes(first, high) { high -= 1 }
      guard low < high else { return low }
      items.swapAt(low, high)
      low += 1
    }
  }

  private mutating func insert(_ first: Int, _ last: Int) {
    for index in stride(from: first + 1, to: last, by: 1) {
      if precedes(index, first) {
        items.insert(items.remove(at: index), at: first)
      } else {
        insertFromBehind(index)
      }
    }
  }

  private mutating func insertFromBehind(_ index: Int) {
    var place = index
    while precedes(place, place - 1) {
      items.swapAt(place, place - 1)
      place -= 1
    }
  }

  /// A heap of the best items up to `middle`, the worst of them first.
  private mutating func selectByHeap(_ first: Int, _ middle: Int, _ last: Int) {
    let count = middle - first
    for parent in stride(from: count / 2 - 1, through: 0, by: -1) { sift(first, parent, count, items[first + parent]) }
    for index in middle..<last where precedes(index, first) {
      let item = items[index]
      items[index] = items[first]
      sift(first, 0, count, item)
    }
  }

  private mutating func sortHeap(_ first: Int, _ end: Int) {
    for last in stride(from: end - 1, to: first, by: -1) {
      let item = items[last]
      items[last] = items[first]
      sift(first, 0, last - first, item)
    }
  }

  /// Puts an item into a heap with a hole: down to the end first, then up.
  private mutating func sift(_ first: Int, _ hole: Int, _ count: Int, _ item: Item) {
    var place = hole
    while place < (count - 1) / 2 {
      var child = 2 * place + 2
      if precedes(first + child, first + child - 1) { child -= 1 }
      items[first + place] = items[first + child]
      place = child
    }
    if count % 2 == 0, place == (count - 2) / 2 {
      items[first + place] = items[first + 2 * place + 1]
      place = 2 * place + 1
    }
    while place > hole, precedes(items[first + (place - 1) / 2], item) {
      items[first + place] = items[first + (place - 1) / 2]
      place = (place - 1) / 2
    }
    items[first + place] = item
  }
}
