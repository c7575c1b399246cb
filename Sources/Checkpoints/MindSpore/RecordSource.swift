internal import Synchronization
internal import Tensors

/// The records of a checkpoint as one sequence of bytes: those of a file, or what an encrypted one decrypts to.
protocol RecordSource: LazyBytes {
  /// Some bytes, at once.
  func bytes(_ range: Range<Int>) throws -> Bytes
}

/// The records of a file that is not encrypted.
struct PlainRecords: RecordSource {
  let content: Bytes

  var count: Int { content.count }
  func bytes(_ range: Range<Int>) -> Bytes { content[range] }
  func forEachPiece(_ range: Range<Int>, _ body: (Bytes) throws -> Void) throws { try body(content[range]) }
}

/// Ranges of a source, one after the other, as the bytes of a tensor.
struct RecordPieces: LazyBytes {
  private let source: any RecordSource
  private let ranges: [Range<Int>]
  let count: Int

  init(_ source: any RecordSource, _ ranges: [Range<Int>]) {
    self.source = source
    self.ranges = ranges
    count = ranges.reduce(0) { $0 + $1.count }
  }

  func forEachPiece(_ range: Range<Int>, _ body: (Bytes) throws -> Void) throws {
    var start = 0
    for piece in ranges {
      let overlap = range.clamped(to: start..<(start + piece.count))
      let offset = piece.lowerBound - start
      if !overlap.isEmpty {
        try source.forEachPiece((overlap.lowerBound + offset)..<(overlap.upperBound + offset), body)
      }
      start += piece.count
    }
  }
}

/// A cursor over a source, which looks at it through a small window.
struct RecordReader: WireCursor {
  private let window: Window
  private var position: Int
  private let end: Int

  init(_ source: any RecordSource) {
    window = Window(source)
    position = 0
    end = source.count
  }

  private init(_ window: Window, _ range: Range<Int>) {
    self.window = window
    position = range.lowerBound
    end = range.upperBound
  }

  var byteOffset: Int { position }
  var remaining: Int { end - position }
  /// What is left.
  var range: Range<Int> { position..<end }

  mutating func integer<I: FixedWidthInteger & BitwiseCopyable>(_ type: I.Type, _ what: String) throws -> I {
    let size = MemoryLayout<I>.size
    try need(size, what)
    let value = try window.integer(I.self, at: position)
    position += size
    return value
  }

  mutating func window(count: Int, _ what: String) throws -> RecordReader {
    try need(count, what)
    defer { position += count }
    return RecordReader(window, position..<(position + count))
  }

  /// All that is left as UTF-8 text, which must be well-formed; the caller has bounded it.
  func text(_ what: String) throws -> String {
    let bytes = try window.source.bytes(range)
    guard let text = bytes.withUnsafeBytes({ String(validating: $0, as: UTF8.self) }) else {
      throw BessemerError(.header, "\(what) at byte \(position) is not UTF-8")
    }
    return text
  }

  private func need(_ count: Int, _ what: String) throws {
    guard count >= 0, count <= remaining else {
      throw BessemerError(
        .truncated, "truncated: \(what) needs \(count) bytes at byte \(byteOffset), \(remaining) are left")
    }
  }

  /// The part of a source that was looked at last.
  private final class Window: Sendable {
    let source: any RecordSource
    private let state = Mutex<(start: Int, bytes: Bytes)>((0, Bytes([])))

    private static let byteCount = 4096

    init(_ source: any RecordSource) { self.source = source }

    func integer<I: FixedWidthInteger & BitwiseCopyable>(_ type: I.Type, at offset: Int) throws -> I {
      try state.withLock { state in
        let size = MemoryLayout<I>.size
        if offset < state.start || offset + size > state.start + state.bytes.count {
          let end = min(source.count, offset + max(size, Window.byteCount))
          state = (offset, try source.bytes(offset..<end))
        }
        let value = state.bytes.withUnsafeBytes {
          $0.bytes.unsafeLoadUnaligned(fromByteOffset: offset - state.start, as: I.self)
        }
        return I(littleEndian: value)
      }
    }
  }
}
