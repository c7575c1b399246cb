/// The bytes of a tensor for reading in any order: pieces that follow each other, in memory or in mapped files, or
/// blocks that are decoded when they are read.
package struct TensorBytes: Sendable {
  private var pieces: [(start: Int, bytes: Bytes)] = []
  private var encoding: BlockType?
  package private(set) var count = 0

  package init() {}

  package init(_ bytes: Bytes) { append(bytes) }

  /// The float32 numbers that blocks stand for.
  package init(blocks: Bytes, _ type: BlockType) {
    append(blocks)
    encoding = type
    count = blocks.count / type.byteCount * type.elementCount * 4
  }

  package mutating func append(_ bytes: Bytes) {
    guard bytes.count > 0 else { return }
    pieces.append((count, bytes))
    count += bytes.count
  }

  /// The bytes of a range where they lie together in memory of our own; nil elsewhere, and where a file is mapped.
  package func memory(_ range: Range<Int>) -> Bytes? {
    guard encoding == nil, let piece = piece(at: range.lowerBound), range.upperBound - piece.start <= piece.bytes.count,
      piece.bytes.mapping == nil
    else { return nil }
    return piece.bytes[(range.lowerBound - piece.start)..<(range.upperBound - piece.start)]
  }

  /// Gives the windows that the range consists of to `body`, in order.
  package func forEachWindow(_ range: Range<Int>, _ body: (Bytes) throws -> Void) throws {
    precondition(range.lowerBound >= 0 && range.upperBound <= count, "bytes outside a tensor")
    if let encoding, let blocks = pieces.first?.bytes {
      return try encoding.forEachPiece(range.lowerBound / 4..<range.upperBound / 4, of: blocks, body)
    }
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
    if let encoding, let blocks = pieces.first?.bytes {
      let place = UnsafeMutableRawBufferPointer(start: target, count: range.count)
      return encoding.decode(range.lowerBound / 4..<range.upperBound / 4, of: blocks, to: place)
    }
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
