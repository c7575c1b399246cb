/// The values of a graph's text by their numbers.
struct ValueNumbers {
  /// By number, -1 where there is none.
  private var dense: [Int32] = []
  /// The numbers far beyond the count, which only text written by hand has.
  private var sparse: [Int: ValueID] = [:]

  subscript(number: Int) -> ValueID? {
    get {
      guard number < dense.count else { return sparse[number] }
      return dense[number] < 0 ? sparse[number] : ValueID(index: dense[number])
    }
    set {
      guard let newValue else { return }
      if number == dense.count {
        dense.append(newValue.index)
      } else {
        sparse[number] = newValue
      }
    }
  }
}

/// One or two ranges of a text, with a hash of the bytes there.
struct TextKey {
  let first: Range<Int>
  let second: Range<Int>
  /// FNV-1a
  let hash: UInt64

  init(_ bytes: [UInt8], _ first: Range<Int>, _ second: Range<Int> = 0..<0) {
    self.first = first
    self.second = second
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    for index in first { hash = (hash ^ UInt64(bytes[index])) &* 0x0000_0100_0000_01B3 }
    for index in second { hash = (hash ^ UInt64(bytes[index])) &* 0x0000_0100_0000_01B3 }
    self.hash = hash
  }
}

/// What was made of parts of a text, found again without copying text. Of two texts with one hash, the later is kept.
struct TextCache<Value> {
  private var entries: [UInt64: (key: TextKey, value: Value)] = [:]

  func value(for key: TextKey, in bytes: [UInt8]) -> Value? {
    guard let entry = entries[key.hash], bytes[entry.key.first] == bytes[key.first],
      bytes[entry.key.second] == bytes[key.second]
    else { return nil }
    return entry.value
  }

  mutating func insert(_ value: Value, for key: TextKey) { entries[key.hash] = (key, value) }
}
