internal import Tensors

/// A part of the text that the model sees as one word.
struct Piece: Sendable {
  var start: Int32
  var end: Int32

  @inline(__always) init(_ start: Int, _ end: Int) { (self.start, self.end) = (Int32(start), Int32(end)) }
  @inline(__always) var range: Range<Int> { Int(start)..<Int(end) }
}

/// A text on its way to the model: its bytes and how they are cut. What no piece covers is dropped.
struct PieceBuffer: Sendable {
  var bytes: [UInt8]
  var pieces: [Piece]
  /// How many bytes at the front stand for the first character of the original text. Metaspace's `first` scheme
  /// asks for it: only what begins there is prefixed.
  var originByteCount: Int

  /// The most bytes a text may have at any step.
  static let byteLimit = 1 << 30

  /// Throws ``ErrorCode/limit`` for a text that is too long.
  static func check(_ byteCount: Int) throws(BessemerError) {
    guard byteCount <= byteLimit else {
      throw BessemerError(.limit, "a text of \(byteCount) bytes to encode, at most \(byteLimit) are taken at once")
    }
  }

  init(_ bytes: [UInt8], originByteCount: Int) throws(BessemerError) {
    try Self.check(bytes.count)
    self.bytes = bytes
    self.originByteCount = originByteCount
    pieces = bytes.isEmpty ? [] : [Piece(0, bytes.count)]
  }
}

/// What to do with the matches of a pattern that cuts a text.
enum SplitBehavior: Sendable {
  case removed, isolated, mergedWithPrevious, mergedWithNext, contiguous

  /// A part of a text and whether the pattern matches it.
  typealias Part = (start: Int, end: Int, isMatch: Bool)

  /// Turns parts that cover a text into pieces.
  func cut(_ parts: [Part], into pieces: inout [Piece]) {
    func add(_ start: Int, _ end: Int) {
      if start < end { pieces.append(Piece(start, end)) }
    }
    switch self {
    case .removed:
      for part in parts where !part.isMatch { add(part.start, part.end) }
    case .isolated:
      for part in parts { add(part.start, part.end) }
    case .contiguous, .mergedWithPrevious:
      var previous = false
      var open: Part?
      for part in parts {
        let joins = self == .contiguous ? part.isMatch == previous : part.isMatch && !previous
        previous = part.isMatch
        if joins, open != nil {
          open?.end = part.end
        } else {
          if let open { add(open.start, open.end) }
          open = part
        }
      }
      if let open { add(open.start, open.end) }
    case .mergedWithNext:
      var previous = false
      var reversed: [Part] = []
      for part in parts.reversed() {
        if part.isMatch && !previous, !reversed.isEmpty {
          reversed[reversed.count - 1].start = part.start
        } else {
          reversed.append(part)
        }
        previous = part.isMatch
      }
      for part in reversed.reversed() { add(part.start, part.end) }
    }
  }
}
