/// The bytes of a tensor for reading in any order: pieces that follow each other, in memory or in mapped files, or a
/// way to make any range of them.
package struct TensorBytes: Sendable {
  /// Writes a range of the bytes, of whole elements, to memory that has room for them.
  package typealias Produce = @Sendable (_ range: Range<Int>, _ target: UnsafeMutableRawPointer) throws -> Void

  private var pieces: [(start: Int, bytes: Bytes)] = []
  private var produce: Produce?
  package private(set) var count = 0

  package init() {}

  package init(_ bytes: Bytes) { append(bytes) }

  package init(count: Int, produce: @escaping Produce) {
    self.count = count
    self.produce = produce
  }

  package mutating func append(_ bytes: Bytes) {
    precondition(produce == nil)
    guard bytes.count > 0 else { return }
    pieces.append((count, bytes))
    count += bytes.count
  }

  /// Whether all bytes exist somewhere.
  var isWindows: Bool { produce == nil }

  /// The bytes of a range where they lie together in memory of our own; nil elsewhere, and where a file is mapped.
  func memory(_ range: Range<Int>) -> Bytes? {
    guard let piece = piece(at: range.lowerBound), range.upperBound - piece.start <= piece.bytes.count,
      piece.bytes.mapping == nil
    else { return nil }
    return piece.bytes[(range.lowerBound - piece.start)..<(range.upperBound - piece.start)]
  }

  /// Gives the windows that the range consists of to `body`, in order.
  func forEachWindow(_ range: Range<Int>, _ body: (Bytes) throws -> Void) throws {
    precondition(range.lowerBound >= 0 && range.upperBound <= count && isWindows, "bytes outside a tensor")
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
    if let produce { return try produce(range, target) }
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

/// Bytes that are made where they are asked for, in any order: those of an encrypted file.
public protocol LazyBytes: Sendable {
  var count: Int { get }
  /// Gives the bytes of a range, in order and at most 1 MB at a time.
  func forEachPiece(_ range: Range<Int>, _ body: (Bytes) throws -> Void) throws
}

extension LazyBytes {
  /// Writes the bytes of a range to memory that has room for them.
  package func read(_ range: Range<Int>, into target: UnsafeMutableRawPointer) throws {
    var target = target
    try forEachPiece(range) { piece in
      piece.withUnsafeBytes { if let base = $0.baseAddress { target.copyMemory(from: base, byteCount: piece.count) } }
      target += piece.count
    }
  }
}

extension TensorStore.Entry {
  /// The bytes in row-major order as far as they can be read in any order without making all of them: windows of files,
  /// memory, blocks to decode, or what is made where it is asked for. Nil for a stream that is made as it goes.
  package func bytes() throws -> TensorBytes? {
    if case .blocks(let type) = layout { return try blocks().map { TensorBytes(type, $0.bytes, shape: shape) } }
    if let lazy { return TensorBytes(count: lazy.count) { try lazy.read($0, into: $1) } }
    guard let stream else { return TensorBytes(try tensor().bytes) }
    /// Ends a stream that makes its bytes.
    struct Made: Error {}
    var bytes = TensorBytes()
    do {
      try stream { piece in
        guard piece.mapping != nil else { throw Made() }
        bytes.append(piece)
      }
    } catch is Made { return nil }
    guard bytes.count == byteCount else {
      throw BessemerError(.tensorLayout, "\(type) does not take \(bytes.count) bytes", file: file)
    }
    return bytes
  }
}

extension TensorStore.Entry {
  /// Where a tensor lies that is stored in one piece.
  public struct Place: Hashable, Sendable {
    /// The file and its state when it was opened.
    public let file: FileIdentity
    /// The first of its bytes in the file.
    public let offset: Int
    let byteCount: Int
  }

  /// Nil for a tensor in several pieces, and for one that is made when it is read.
  public var place: Place? {
    get throws {
      guard let window = try firstWindow, window.count == storedByteCount, let (file, offset) = window.mapping else {
        return nil
      }
      return Place(file: file.identity, offset: offset, byteCount: window.count)
    }
  }

  /// The first bytes as they are stored, or as they are made.
  private var firstWindow: Bytes? {
    get throws {
      guard let stream else { return try blocks()?.bytes ?? packed() ?? tensor().bytes }
      /// Ends a stream at once.
      struct Found: Error { let window: Bytes }
      do { try stream { throw Found(window: $0) } } catch let found as Found { return found.window }
      return nil
    }
  }
}

extension TensorBytes {
  /// Numbers that are decoded when they are read.
  init(_ type: BlockType, _ blocks: Bytes, shape: [Int]) {
    self.init(count: shape.reduce(1, *) * 4) { range, target in
      let elements = (range.lowerBound / 4)..<(range.upperBound / 4)
      let (first, last) = (elements.lowerBound / type.elementCount, (elements.upperBound - 1) / type.elementCount)
      let stored = blocks[(first * type.byteCount)..<((last + 1) * type.byteCount)]
      let memory = try Bytes(byteCount: stored.count) { buffer in
        if let base = buffer.baseAddress { try stored.read(into: base) }
      }
      let own = (elements.lowerBound - first * type.elementCount)..<(elements.upperBound - first * type.elementCount)
      type.decode(own, of: memory, to: UnsafeMutableRawBufferPointer(start: target, count: range.count))
    }
  }
}
