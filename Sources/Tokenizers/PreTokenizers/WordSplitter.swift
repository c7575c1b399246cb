/// Finds the matches of a ``WordPattern`` by hand, many times faster than a general engine.
struct WordSplitter: Sendable {
  let pattern: WordPattern
  private let tables = UnicodeTables.shared

  private static let space: UInt8 = 0x20
  private static let apostrophe: UInt8 = 0x27

  init(_ pattern: WordPattern) { self.pattern = pattern }

  /// Calls `body` with the matches in `range` of the text, from left to right.
  @inline(__always)
  func forEachMatch(_ text: Span<UInt8>, in range: Range<Int>, _ body: (Range<Int>) -> Void) {
    var position = range.lowerBound
    while position < range.upperBound {
      let end = matchEnd(text, position, range.upperBound)
      if end > position {
        body(position..<end)
        position = end
      } else {
        position += UTF8Text.scalar(text, position).length
      }
    }
  }

  /// Where the match that starts at `start` ends; `start` itself if there is none.
  @inline(__always)
  private func matchEnd(_ text: Span<UInt8>, _ start: Int, _ end: Int) -> Int {
    switch pattern {
    case .gpt2: gpt2(text, start, end)
    case .digitTriples: modern(text, start, end, digits: 3)
    case .singleDigits: modern(text, start, end, digits: 1)
    case .caseAware: caseAware(text, start, end)
    case .deepSeek: deepSeek(text, start, end)
    }
  }

  /// A scalar of the text, what it is, and where the next one starts.
  private struct Character {
    var scalar: UInt32
    var next: Int
    var properties: ScalarProperties

    @inline(__always) var isNewline: Bool { scalar == 10 || scalar == 13 }
    /// `[^\s\p{L}\p{N}]`
    @inline(__always) var isOther: Bool { !properties.isSpace && !properties.isLetter && !properties.isNumber }
  }

  @inline(__always)
  private func character(_ text: Span<UInt8>, _ position: Int) -> Character {
    let (scalar, length) = UTF8Text.scalar(text, position)
    return Character(scalar: scalar, next: position + length, properties: tables[scalar])
  }

  @inline(__always)
  private func run(_ text: Span<UInt8>, _ start: Int, _ end: Int, _ holds: (Character) -> Bool) -> Int {
    var position = start
    while position < end {
      let next = character(text, position)
      guard holds(next) else { break }
      position = next.next
    }
    return position
  }

  /// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
  private func gpt2(_ text: Span<UInt8>, _ start: Int, _ end: Int) -> Int {
    if text[start] == Self.apostrophe {
      let after = contraction(text, start, end, ignoringCase: false)
      if after > start { return after }
    }
    var first = character(text, start)
    if first.properties.isSpace {
      guard text[start] == Self.space, start + 1 < end else { return spaces(text, start, end) }
      first = character(text, start + 1)
      if first.properties.isSpace { return spaces(text, start, end) }
    }
    if first.properties.isLetter { return run(text, first.next, end) { $0.properties.isLetter } }
    if first.properties.isNumber { return run(text, first.next, end) { $0.properties.isNumber } }
    return run(text, first.next, end) { $0.isOther }
  }

  /// `\s+(?!\S)|\s+`: white space before a word leaves its last character to the word.
  private func spaces(_ text: Span<UInt8>, _ start: Int, _ end: Int) -> Int {
    var position = start
    var last = start
    while position < end {
      let next = character(text, position)
      guard next.properties.isSpace else { break }
      last = position
      position = next.next
    }
    return position == end || last == start ? position : last
  }

  /// `\s*[\r\n]+|\s+(?!\S)|\s+`: up to the last newline, if there is one.
  private func spacesAndNewlines(_ text: Span<UInt8>, _ start: Int, _ end: Int) -> Int {
    var position = start
    var last = start
    var afterNewline = -1
    while position < end {
      let next = character(text, position)
      guard next.properties.isSpace else { break }
      last = position
      position = next.next
      if next.isNewline { afterNewline = position }
    }
    if afterNewline >= 0 { return afterNewline }
    return position == end || last == start ? position : last
  }

  /// Where a contraction after an apostrophe ends, or `start`.
  private func contraction(_ text: Span<UInt8>, _ start: Int, _ end: Int, ignoringCase: Bool) -> Int {
    guard start + 1 < end, text[start] == Self.apostrophe else { return start }
    let fold: UInt8 = ignoringCase ? 0x20 : 0
    switch text[start + 1] | fold {
    case UInt8(ascii: "s"), UInt8(ascii: "t"), UInt8(ascii: "m"), UInt8(ascii: "d"): return start + 2
    case UInt8(ascii: "r"), UInt8(ascii: "v"):
      return start + 2 < end && text[start + 2] | fold == UInt8(ascii: "e") ? start + 3 : start
    case UInt8(ascii: "l"):
      return start + 2 < end && text[start + 2] | fold == UInt8(ascii: "l") ? start + 3 : start
    default:
      // U+017F, the long s, is an s when case is ignored; 0xC5 has the folding bit off.
      let isLongS = ignoringCase && text[start + 1] == 0xC5 && start + 2 < end && text[start + 2] == 0xBF
      return isLongS ? start + 3 : start
    }
  }

  /// `(?i:'s|…)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,n}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
  private func modern(_ text: Span<UInt8>, _ start: Int, _ end: Int, digits: Int) -> Int {
    let first = character(text, start)
    if first.properties.isLetter { return run(text, first.next, end) { $0.properties.isLetter } }
    if first.properties.isNumber { return number(text, first.next, end, digits) }
    if text[start] == Self.apostrophe {
      let after = contraction(text, start, end, ignoringCase: true)
      if after > start { return after }
    }
    if !first.isNewline, first.next < end {
      let second = character(text, first.next)
      if second.properties.isLetter { return run(text, second.next, end) { $0.properties.isLetter } }
    }
    return others(text, start, end, first) { $0.isNewline }
  }

  @inline(__always)
  private func number(_ text: Span<UInt8>, _ start: Int, _ end: Int, _ digits: Int) -> Int {
    var position = start
    var left = digits - 1
    while left > 0, position < end {
      let next = character(text, position)
      guard next.properties.isNumber else { break }
      position = next.next
      left -= 1
    }
    return position
  }

  /// ` ?[^\s\p{L}\p{N}]+[trailing]*|\s*[\r\n]+|\s+(?!\S)|\s+`, for a start that is no letter and no number.
  @inline(__always)
  private func others(
    _ text: Span<UInt8>, _ start: Int, _ end: Int, _ first: Character, _ trails: (Character) -> Bool
  ) -> Int {
    var body = start
    if first.properties.isSpace {
      guard text[start] == Self.space, first.next < end, character(text, first.next).isOther else {
        return spacesAndNewlines(text, start, end)
      }
      body = first.next
    }
    return run(text, run(text, body, end) { $0.isOther }, end, trails)
  }

  /// The two word patterns of o200k, then numbers and others.
  private func caseAware(_ text: Span<UInt8>, _ start: Int, _ end: Int) -> Int {
    let first = character(text, start)
    let mayPrefix = !first.isNewline && !first.properties.isLetter && !first.properties.isNumber
    for isUpperFirst in [false, true] {
      if mayPrefix {
        let word = cased(text, first.next, end, needsUpper: isUpperFirst)
        if word > first.next { return suffixed(text, word, end) }
      }
      let word = cased(text, start, end, needsUpper: isUpperFirst)
      if word > start { return suffixed(text, word, end) }
    }
    if first.properties.isNumber { return number(text, first.next, end, 3) }
    return others(text, start, end, first) { $0.isNewline || $0.scalar == 0x2F }
  }

  private func suffixed(_ text: Span<UInt8>, _ word: Int, _ end: Int) -> Int {
    word < end ? contraction(text, word, end, ignoringCase: true) : word
  }

  /// `[upper]*[lower]+`, or with `needsUpper` `[upper]+[lower]*`, where both sets hold what has no case, and marks.
  private func cased(_ text: Span<UInt8>, _ start: Int, _ end: Int, needsUpper: Bool) -> Int {
    var position = start
    var afterLower = start
    while position < end {
      let next = character(text, position)
      let isUncased = next.properties.isMark || next.properties.category == 3 || next.properties.category == 4
      guard isUncased || next.properties.category == 0 || next.properties.category == 2 else { break }
      position = next.next
      if isUncased { afterLower = position }
    }
    let word = run(text, position, end) {
      $0.properties.category == 1 || $0.properties.category == 3 || $0.properties.category == 4 || $0.properties.isMark
    }
    if needsUpper { return position > start ? word : start }
    return word > position ? word : afterLower
  }

  /// The last pattern of DeepSeek V3, which leaves numbers and controls alone.
  private func deepSeek(_ text: Span<UInt8>, _ start: Int, _ end: Int) -> Int {
    let first = character(text, start)
    let isASCIIMark = first.scalar < 0x80 && first.properties.isPunctuationOrSymbol
    if isASCIIMark, first.next < end, Self.isASCIILetter(text[first.next]) {
      var position = first.next
      while position < end, Self.isASCIILetter(text[position]) { position += 1 }
      return position
    }
    let isLetterOrMark = first.properties.isLetter || first.properties.isMark
    if isLetterOrMark { return run(text, first.next, end) { $0.properties.isLetter || $0.properties.isMark } }
    if !first.isNewline, !first.properties.isPunctuationOrSymbol, first.next < end {
      let second = character(text, first.next)
      if second.properties.isLetter || second.properties.isMark {
        return run(text, second.next, end) { $0.properties.isLetter || $0.properties.isMark }
      }
    }
    var body = start
    if first.scalar == 0x20 { body = first.next }
    let marks = run(text, body, end) { $0.properties.isPunctuationOrSymbol }
    if marks > body { return run(text, marks, end) { $0.isNewline } }
    return first.properties.isSpace ? spacesAndNewlines(text, start, end) : start
  }

  @inline(__always)
  private static func isASCIILetter(_ byte: UInt8) -> Bool { (byte | 0x20) &- 0x61 < 26 }
}
