/// The bytes of a tensor for reading in any order: pieces that follow each other, in memory or in mapped files.
package struct TensorBytes: Sendable {
  private var pieces: [(start: Int, bytes: Bytes)] = []
  package private(set) var count = 0

  package init() {}

  package init(_ bytes: Bytes) { append(bytes) }

  package mutating func append(_ bytes: Bytes) {
    guard bytes.count > 0 else { return }
    pieces.append((count, bytes))
    count += bytes.count
  }

  /// The bytes of a range where they lie together in memory of our own; nil elsewhere, and where a file is mapped.
  package func memory(_ range: Range<Int>) -> Bytes? {
    guard let piece = piece(at: range.lowerBound), range.upperBound - piece.start <= piece.bytes.count,
      piece.bytes.mapping == nil
    else { return nil }
    return piece.bytes[(range.lowerBound - piece.start)..<(range.upperBound - piece.start)]
  }

  /// Gives the windows that the range consists of to `body`, in order.
  package func forEachWindow(_ range: Range<Int>, _ body: (Bytes) throws -> Void) throws {
    precondition(range.lowerBound >= 0 && range.upperBound <= count, "bytes outside a tensor")
    var position = range.lowerBound
    while position < range.upperBound, let piece = piece(at: position) {
      let end = min(range.upperBound, piece.start + piece.bytes.count)
      try body(piece.bytes[(position - piece.start)..<(end - piece.start)])
      position = end
    }
  }

  /// Copies a range to `target`, which has room for it. Files are read by descriptor, so that no page of a mapping
  /// stays in memory.
  package func read(_ range: Range<Int>, into target: UnsafeMutableRawPointer) throws {
    var target = target
    try forEachWindow(range) { window in
      try window.read(into: target)
      target += window.count
    }
  }

  /// The piece that holds a byte.
  private func piece(at position: Int) -> (start: Int, bytes: Bytes)? {
    var (low, high) = (0, pieces.count)
    while low < high {
      let middle = (low + high) / 2
      if pieces[middle].start <= position { low = middle + 1 } else { high = middle }
    }
    return low > 0 ? pieces[low - 1] : nil
  }
}
