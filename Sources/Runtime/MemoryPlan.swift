/// Where each slot of a plan lies in one block of memory: slots that do not live at the same time share it.
struct MemoryPlan {
  /// A slot: how large it is and the first and last step that touch it.
  struct Slot {
    var byteCount: Int
    var first: Int
    var last: Int
  }

  /// Slots start at multiples of a cache line.
  static let alignment = 64

  let offsets: [Int]
  /// The size of the block.
  let byteCount: Int

  /// Places the largest slots first, each at the lowest place where nothing alive meanwhile lies.
  ///
  /// Source: greedy by size, Pisarchyk and Lee, arXiv 2001.03288.
  init(_ slots: [Slot]) {
    let order = slots.indices.sorted { (slots[$0].byteCount, $1) > (slots[$1].byteCount, $0) }
    var offsets = [Int](repeating: 0, count: slots.count)
    var placed: [Int] = []
    var total = 0
    for index in order {
      let slot = slots[index]
      let size = (slot.byteCount + MemoryPlan.alignment - 1) / MemoryPlan.alignment * MemoryPlan.alignment
      let neighbours = placed.filter { slots[$0].first <= slot.last && slot.first <= slots[$0].last }
        .sorted { offsets[$0] < offsets[$1] }
      var offset = 0
      for other in neighbours {
        if offset + size <= offsets[other] { break }
        let end =
          offsets[other] + (slots[other].byteCount + MemoryPlan.alignment - 1) / MemoryPlan.alignment
          * MemoryPlan.alignment
        offset = max(offset, end)
      }
      offsets[index] = offset
      total = max(total, offset + size)
      placed.append(index)
    }
    self.offsets = offsets
    self.byteCount = total
  }
}
