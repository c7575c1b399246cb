/// Which pairs of tokens merge into what, and in which order.
struct MergeTable: Sendable {
  /// A pair that merges: its rank, smallest first, and the id of the result.
  struct Merge: Sendable {
    var rank: Int32
    var id: Int32
    @inline(__always) static var none: Merge { Merge(rank: Int32.max, id: -1) }
  }

  private struct Slot: Sendable {
    var pair: UInt64
    var merge: Merge
  }

  private static let empty = UInt64.max
  private var slots: [Slot]
  private let mask: UInt64
  private let multiplier = ByteHash.currentSeed

  init(_ merges: [(left: Int32, right: Int32, id: Int32)]) {
    var size = 16
    while size < merges.count * 2 { size *= 2 }
    mask = UInt64(size - 1)
    slots = [Slot](repeating: Slot(pair: Self.empty, merge: .none), count: size)
    for (rank, merge) in merges.enumerated() {
      let pair = Self.pair(merge.left, merge.right)
      var slot = first(pair)
      while slots[slot].pair != Self.empty && slots[slot].pair != pair {
        slot = Int(truncatingIfNeeded: UInt64(slot + 1) & mask)
      }
      // A pair that is listed again takes its later rank.
      slots[slot] = Slot(pair: pair, merge: Merge(rank: Int32(rank), id: merge.id))
    }
  }

  @inline(__always)
  private static func pair(_ left: Int32, _ right: Int32) -> UInt64 {
    UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
  }

  @inline(__always)
  private func first(_ pair: UInt64) -> Int {
    let product = pair.multipliedFullWidth(by: multiplier)
    return Int(truncatingIfNeeded: (product.high ^ product.low) & mask)
  }

  /// The merge of two neighbours; its rank is `Int32.max` if they do not merge.
  @inline(__always)
  func find(_ left: Int32, _ right: Int32) -> Merge {
    let pair = Self.pair(left, right)
    var slot = first(pair)
    while true {
      let found = slots[slot]
      if found.pair == pair { return found.merge }
      if found.pair == Self.empty { return .none }
      slot = Int(truncatingIfNeeded: UInt64(slot + 1) & mask)
    }
  }
}
