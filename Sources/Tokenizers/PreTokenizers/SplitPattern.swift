internal import Tensors

/// What a Split or Replace looks for.
enum SplitPattern: Sendable {
  case literal([UInt8])
  case words(WordSplitter)
  case regex(Regex)

  /// The matches in `range` and what is between them; together they cover it.
  func parts(
    _ text: Span<UInt8>, _ range: Range<Int>, _ isInverted: Bool, _ budget: inout Regex.Budget
  ) throws(BessemerError) -> [SplitBehavior.Part] {
    var parts: [SplitBehavior.Part] = []
    var last = range.lowerBound
    func add(_ match: Range<Int>) {
      if last < match.lowerBound { parts.append((last, match.lowerBound, isInverted)) }
      parts.append((match.lowerBound, match.upperBound, !isInverted))
      last = match.upperBound
    }
    switch self {
    case .literal(let wanted): Self.forEachOccurrence(of: wanted.span, in: text, range, add)
    case .words(let splitter): splitter.forEachMatch(text, in: range, add)
    case .regex(let regex):
      let offset = range.lowerBound
      try regex.forEachMatch(text.extracting(range), budget: &budget) {
        add($0.lowerBound + offset..<$0.upperBound + offset)
      }
    }
    if last < range.upperBound { parts.append((last, range.upperBound, isInverted)) }
    return parts
  }

  private static func forEachOccurrence(
    of wanted: Span<UInt8>, in text: Span<UInt8>, _ range: Range<Int>, _ body: (Range<Int>) -> Void
  ) {
    guard !wanted.isEmpty else { return }
    var position = range.lowerBound
    while position + wanted.count <= range.upperBound {
      var matched = 0
      while matched < wanted.count, text[position + matched] == wanted[matched] { matched += 1 }
      if matched == wanted.count {
        body(position..<position + matched)
        position += matched
      } else {
        position += 1
      }
    }
  }
}

/// A condition on single scalars.
enum ScalarTest: Sendable {
  case space, numeric, punctuation, equals(UInt32)
  /// `\w+|[^\w\s]+`, inverted: white space and the border between words and others.
  case whitespacePattern

  typealias Part = SplitBehavior.Part

  func parts(_ text: Span<UInt8>, _ range: Range<Int>, _ tables: UnicodeTables) -> [Part] {
    if case .whitespacePattern = self { return Self.wordParts(text, range, tables) }
    var parts: [Part] = []
    var last = range.lowerBound
    var position = range.lowerBound
    while position < range.upperBound {
      let (scalar, length) = UTF8Text.scalar(text, position)
      let hit =
        switch self {
        case .space: tables[scalar].isSpace
        case .numeric: tables[scalar].isNumeric
        case .punctuation: tables[scalar].isBertPunctuation
        case .equals(let wanted): scalar == wanted
        case .whitespacePattern: false
        }
      if hit {
        if last < position { parts.append((last, position, false)) }
        parts.append((position, position + length, true))
        last = position + length
      }
      position += length
    }
    if last < range.upperBound { parts.append((last, range.upperBound, false)) }
    return parts
  }

  private static func wordParts(_ text: Span<UInt8>, _ range: Range<Int>, _ tables: UnicodeTables) -> [Part] {
    var parts: [Part] = []
    var last: UInt8 = 3
    UTF8Text.forEach(text.extracting(range)) { scalar, place in
      let properties = tables[scalar]
      let kind: UInt8 = properties.isCrateWord ? 0 : properties.isSpace ? 2 : 1
      if kind == last {
        parts[parts.count - 1].end = place.upperBound + range.lowerBound
      } else {
        parts.append((place.lowerBound + range.lowerBound, place.upperBound + range.lowerBound, kind == 2))
      }
      last = kind
    }
    return parts
  }
}
