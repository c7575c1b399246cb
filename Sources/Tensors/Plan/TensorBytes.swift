/// Bytes that are made where they are asked for, in any order: those of an encrypted file, or of encoded blocks.
public protocol LazyBytes: Sendable {
  var count: Int { get }
  /// Gives the bytes of a range, in order and at most 1 MB at a time.
  func forEachPiece(_ range: Range<Int>, _ body: (Bytes) throws -> Void) throws
  /// Writes the bytes of a range to `target`, which has exactly their size.
  func read(_ range: Range<Int>, into target: UnsafeMutableRawBufferPointer) throws
}

extension LazyBytes {
  public func read(_ range: Range<Int>, into target: UnsafeMutableRawBufferPointer) throws {
    var done = 0
    try forEachPiece(range) { piece in
      guard piece.count <= target.count - done, let base = target.baseAddress else { return }
      try piece.read(into: base + done)
      done += piece.count
    }
  }
}

/// The float32 numbers that blocks stand for; ranges are of whole numbers.
struct DecodedBlocks: LazyBytes {
  let blocks: Bytes
  let type: BlockType

  var count: Int { blocks.count / type.byteCount * type.elementCount * 4 }

  func forEachPiece(_ range: Range<Int>, _ body: (Bytes) throws -> Void) throws {
    try type.forEachPiece(range.lowerBound / 4..<range.upperBound / 4, of: blocks, body)
  }

  func read(_ range: Range<Int>, into target: UnsafeMutableRawBufferPointer) {
    type.decode(range.lowerBound / 4..<range.upperBound / 4, of: blocks, to: target)
  }
}

/// The bytes of a tensor for reading in any order: pieces that follow each other, in memory or in mapped files, or bytes
/// that are made where they are asked for.
package struct TensorBytes: Sendable {
  private var pieces: [(start: Int, bytes: Bytes)] = []
  private var lazy: (any LazyBytes)?
  package private(set) var count = 0

  package init() {}

  package init(_ bytes: Bytes) { append(bytes) }

  package init(_ lazy: any LazyBytes) {
    self.lazy = lazy
    count = lazy.count
  }

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
    if let lazy { return try lazy.forEachPiece(range, body) }
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
    if let lazy { return try lazy.read(range, into: UnsafeMutableRawBufferPointer(start: target, count: range.count)) }
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
