internal import Tensors

/// One step that cuts a text into words. A Sequence of the file is a list of these.
enum PreTokenizer: Sendable {
  case scalars(ScalarTest, SplitBehavior)
  case pattern(SplitPattern, SplitBehavior, isInverted: Bool)
  case byteLevel(addsPrefixSpace: Bool, splits: Bool)
  case metaspace(replacement: UInt32, PrependScheme, splits: Bool)
  case fixedLength(Int)
  /// Removes white space and sets punctuation apart.
  case bert

  /// When Metaspace puts its mark before a text.
  enum PrependScheme: Sendable { case always, never, first }

  func apply(_ buffer: inout PieceBuffer, _ budget: inout Regex.Budget) throws(BessemerError) {
    switch self {
    case .scalars(let test, let behavior):
      let tables = UnicodeTables.shared
      try cut(&buffer) { text, range, pieces throws(BessemerError) in
        behavior.cut(test.parts(text, range, tables), into: &pieces)
      }
    case .pattern(let pattern, let behavior, let isInverted):
      try split(&buffer, pattern, behavior, isInverted, &budget)
    case .byteLevel(let addsPrefixSpace, let splits):
      try Self.cutLikeByteLevel(&buffer, addsPrefixSpace: addsPrefixSpace, splits: splits, &budget)
      try ByteAlphabet.encode(&buffer)
    case .metaspace(let replacement, let scheme, let splits):
      try metaspace(&buffer, replacement, scheme)
      if splits {
        try cut(&buffer) { text, range, pieces throws(BessemerError) in
          let parts = ScalarTest.equals(replacement).parts(text, range, UnicodeTables.shared)
          SplitBehavior.mergedWithNext.cut(parts, into: &pieces)
        }
      }
    case .bert:
      try PreTokenizer.scalars(.space, .removed).apply(&buffer, &budget)
      try PreTokenizer.scalars(.punctuation, .isolated).apply(&buffer, &budget)
    case .fixedLength(let length):
      try cut(&buffer) { text, range, pieces throws(BessemerError) in
        var position = range.lowerBound
        while position < range.upperBound {
          let start = position
          for _ in 0..<length where position < range.upperBound { position += UTF8Text.scalar(text, position).length }
          pieces.append(Piece(start, position))
        }
      }
    }
  }

  /// What ByteLevel does before it renames the bytes. The model can take the bytes as they are when ByteLevel is last.
  static func cutLikeByteLevel(
    _ buffer: inout PieceBuffer, addsPrefixSpace: Bool, splits: Bool, _ budget: inout Regex.Budget
  ) throws(BessemerError) {
    if addsPrefixSpace {
      try buffer.rebuild { text, range, _, out in
        if text[range.lowerBound] != 0x20 { out.append(0x20) }
        for index in range { out.append(text[index]) }
      }
    }
    if splits {
      try PreTokenizer.pattern(.words(WordSplitter(.gpt2)), .isolated, isInverted: false).apply(&buffer, &budget)
    }
  }

  private func split(
    _ buffer: inout PieceBuffer, _ pattern: SplitPattern, _ behavior: SplitBehavior, _ isInverted: Bool,
    _ budget: inout Regex.Budget
  ) throws(BessemerError) {
    if case .words(let splitter) = pattern, behavior == .isolated, splitter.pattern.coversEverything {
      let source = buffer
      let text = source.bytes.span
      var pieces: [Piece] = []
      pieces.reserveCapacity(text.count / 4)
      for piece in source.pieces {
        splitter.forEachMatch(text, in: piece.range) { pieces.append(Piece($0.lowerBound, $0.upperBound)) }
      }
      buffer.pieces = pieces
      return
    }
    try cut(&buffer) { text, range, pieces throws(BessemerError) in
      behavior.cut(try pattern.parts(text, range, isInverted, &budget), into: &pieces)
    }
  }

  private func cut(
    _ buffer: inout PieceBuffer,
    _ body: (Span<UInt8>, Range<Int>, inout [Piece]) throws(BessemerError) -> Void
  ) throws(BessemerError) {
    let source = buffer
    var pieces: [Piece] = []
    pieces.reserveCapacity(source.pieces.count)
    let text = source.bytes.span
    for piece in source.pieces { try body(text, piece.range, &pieces) }
    buffer.pieces = pieces
  }

  private func metaspace(
    _ buffer: inout PieceBuffer, _ replacement: UInt32, _ scheme: PrependScheme
  ) throws(BessemerError) {
    try buffer.rebuild { text, range, isOrigin, out in
      let first = UTF8Text.scalar(text, range.lowerBound).value
      let prepends = scheme == .always || (scheme == .first && isOrigin)
      if prepends && first != replacement && first != 0x20 { UTF8Text.append(replacement, to: &out) }
      for index in range {
        if text[index] == 0x20 { UTF8Text.append(replacement, to: &out) } else { out.append(text[index]) }
      }
    }
  }
}

extension PieceBuffer {
  /// Writes every piece anew. `body` gets the text, the piece, whether it begins with the first character of the
  /// original text, and the output.
  mutating func rebuild(
    _ body: (Span<UInt8>, Range<Int>, Bool, inout [UInt8]) -> Void
  ) throws(BessemerError) {
    var out: [UInt8] = []
    out.reserveCapacity(bytes.count + bytes.count / 4)
    var origin = 0
    for index in pieces.indices {
      let range = pieces[index].range
      let start = out.count
      let isOrigin = range.lowerBound < originByteCount
      body(bytes.span, range, isOrigin, &out)
      try Self.check(out.count)
      pieces[index] = Piece(start, out.count)
      // What is inserted belongs to the character it stands at.
      if isOrigin { origin = out.count - max(0, range.upperBound - originByteCount) }
    }
    bytes = out
    originByteCount = max(0, origin)
  }
}
