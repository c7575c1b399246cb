/// Merges the symbols of one word; keeps its memory between words.
struct Merger {
  /// Words up to this length are scanned for the best pair; longer ones take a heap, so that time stays near linear.
  private static let scanLimit = 48

  /// The symbols of the word: filled by the caller, replaced by the merged ones.
  var symbols: [Int32] = []
  private var merges: [MergeTable.Merge] = []
  private var next: [Int32] = []
  private var previous: [Int32] = []
  private var heap = MergeHeap()

  /// Merges the best pair, the leftmost among equals, until no pair merges.
  mutating func run(_ table: MergeTable) {
    guard symbols.count > 1 else { return }
    if symbols.count <= Self.scanLimit { scan(table) } else { runHeap(table) }
  }

  private mutating func scan(_ table: MergeTable) {
    var count = symbols.count
    merges.removeAll(keepingCapacity: true)
    var best = Int32.max
    var place = 0
    for index in 0..<count - 1 {
      let merge = table.find(symbols[index], symbols[index + 1])
      merges.append(merge)
      if merge.rank < best { (best, place) = (merge.rank, index) }
    }
    while best != Int32.max {
      symbols[place] = merges[place].id
      count -= 1
      if place + 1 < count {
        for index in place + 1..<count { symbols[index] = symbols[index + 1] }
        for index in place..<count - 1 { merges[index] = merges[index + 1] }
        merges[place] = table.find(symbols[place], symbols[place + 1])
      }
      if place > 0 { merges[place - 1] = table.find(symbols[place - 1], symbols[place]) }
      best = Int32.max
      for index in 0..<count - 1 where merges[index].rank < best { (best, place) = (merges[index].rank, index) }
    }
    symbols.removeLast(symbols.count - count)
  }

  private mutating func runHeap(_ table: MergeTable) {
    let count = symbols.count
    next = (0..<Int32(count)).map { $0 + 1 }
    previous = (0..<Int32(count)).map { $0 - 1 }
    heap.removeAll()
    for index in 0..<count - 1 { push(table, index, index + 1) }
    let gone: Int32 = -1
    while let top = heap.pop() {
      let place = Int(top.place)
      guard symbols[place] != gone, next[place] < count else { continue }
      let right = Int(next[place])
      // The pair may have changed since it was pushed.
      guard table.find(symbols[place], symbols[right]).id == top.id else { continue }
      symbols[place] = top.id
      symbols[right] = gone
      next[place] = next[right]
      if next[place] < count { previous[Int(next[place])] = top.place }
      if previous[place] >= 0 { push(table, Int(previous[place]), place) }
      if next[place] < count { push(table, place, Int(next[place])) }
    }
    symbols.removeAll { $0 == gone }
  }

  private mutating func push(_ table: MergeTable, _ left: Int, _ right: Int) {
    let merge = table.find(symbols[left], symbols[right])
    if merge.rank != Int32.max { heap.push(MergeHeap.Entry(rank: merge.rank, place: Int32(left), id: merge.id)) }
  }
}

/// A binary heap of pairs that may merge, the lowest rank first, then the leftmost.
struct MergeHeap {
  struct Entry {
    var rank: Int32
    var place: Int32
    var id: Int32

    @inline(__always)
    static func < (a: Entry, b: Entry) -> Bool { a.rank != b.rank ? a.rank < b.rank : a.place < b.place }
  }

  private var entries: [Entry] = []

  mutating func removeAll() { entries.removeAll(keepingCapacity: true) }

  mutating func push(_ entry: Entry) {
    entries.append(entry)
    var child = entries.count - 1
    while child > 0 {
      let parent = (child - 1) / 2
      guard entries[child] < entries[parent] else { break }
      entries.swapAt(child, parent)
      child = parent
    }
  }

  mutating func pop() -> Entry? {
    guard let top = entries.first, let last = entries.popLast() else { return nil }
    if entries.isEmpty { return top }
    entries[0] = last
    var parent = 0
    while true {
      var child = 2 * parent + 1
      guard child < entries.count else { break }
      if child + 1 < entries.count, entries[child + 1] < entries[child] { child += 1 }
      guard entries[child] < entries[parent] else { break }
      entries.swapAt(child, parent)
      parent = child
    }
    return top
  }
}
