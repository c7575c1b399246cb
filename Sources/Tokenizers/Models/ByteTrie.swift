/// Byte strings with a value each, found by all the beginnings of a text at once.
struct ByteTrie: Sendable {
  /// Child nodes by node and byte.
  private var edges: [UInt64: Int32] = [:]
  /// The value of the string that ends at a node, or -1.
  private var values: [Int32] = [-1]

  /// Adds a string; false if it is there already.
  mutating func insert(_ bytes: [UInt8], _ value: Int32) -> Bool {
    var node = 0
    for byte in bytes {
      let key = UInt64(node) << 8 | UInt64(byte)
      if let next = edges[key] {
        node = Int(next)
      } else {
        edges[key] = Int32(values.count)
        node = values.count
        values.append(-1)
      }
    }
    if values[node] >= 0 { return false }
    values[node] = value
    return true
  }

  /// Calls `body` with the value and the end of each string that starts the range, the shortest first.
  @inline(__always)
  func forEachPrefix(_ text: Span<UInt8>, _ range: Range<Int>, _ body: (Int32, Int) -> Void) {
    var node: UInt64 = 0
    var position = range.lowerBound
    while position < range.upperBound, let next = edges[node << 8 | UInt64(text[position])] {
      node = UInt64(next)
      position += 1
      if values[Int(next)] >= 0 { body(values[Int(next)], position) }
    }
  }
}
