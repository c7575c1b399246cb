import Tensors

/// Cuts a template into text and tags, and tags into tokens, with the rules for white space that chat templates are
/// written for: the line break after a block tag and the blanks before one belong to the tag.
struct TemplateLexer {
  enum Token: Equatable {
    case name(String)
    case int(Int)
    case double(Double)
    case string([UInt8])
    case symbol(String)
  }

  enum Piece {
    case text([UInt8])
    case output([Token])
    case block([Token])
  }

  /// The most tokens of one tag.
  static let maximumTokens = 4096

  private let source: [UInt8]
  private var position = 0
  private var pieces: [Piece] = []
  /// Whether the text that comes begins a line, as far as blanks before a block tag are concerned.
  private var beginsLine = true

  /// - Throws: ``ErrorCode/template`` for a tag that does not end or a character that does not belong.
  static func pieces(of text: String) throws -> [Piece] {
    var source = Array(text.withLineFeeds.utf8)
    if source.last == 10 { source.removeLast() }
    var lexer = TemplateLexer(source)
    while lexer.position < source.count { try lexer.readText() }
    return lexer.pieces
  }

  private init(_ source: [UInt8]) { self.source = source }

  private func starts(_ text: StaticString, at index: Int) -> Bool {
    text.withUTF8Buffer { index + $0.count <= source.count && source[index..<index + $0.count].elementsEqual($0) }
  }

  private func error(_ problem: String) -> BessemerError {
    let line = source[..<min(position, source.count)].count { $0 == 10 } + 1
    return BessemerError(.template, "line \(line): \(problem)")
  }

  // MARK: Text

  /// Text up to the next tag, and the tag.
  private mutating func readText() throws {
    let start = position
    while position < source.count,
      !(source[position] == UInt8(ascii: "{") && position + 1 < source.count
        && [UInt8(ascii: "{"), UInt8(ascii: "%"), UInt8(ascii: "#")].contains(source[position + 1]))
    { position += 1 }
    var text = source[start..<position]
    guard position < source.count else { return add(text) }
    let kind = source[position + 1]
    let mark = position + 2 < source.count ? source[position + 2] : 0
    position += 2
    if mark == UInt8(ascii: "-") {
      position += 1
      while let last = text.last, isSpace(last) { text.removeLast() }
    } else if mark == UInt8(ascii: "+") {
      position += 1
    } else if kind != UInt8(ascii: "{") {
      let line = text.lastIndex(of: 10).map { $0 + 1 } ?? text.startIndex
      if line > text.startIndex || beginsLine, text[line...].allSatisfy(isSpace) { text = text[..<line] }
    }
    add(text)
    beginsLine = false
    if kind == UInt8(ascii: "#") { return try skipComment() }
    let isBlock = kind == UInt8(ascii: "%")
    let tokens = try readTag(isBlock)
    if isBlock, tokens == [.name("raw")] { return try readRaw() }
    pieces.append(isBlock ? .block(tokens) : .output(tokens))
  }

  private mutating func add(_ text: ArraySlice<UInt8>) { if !text.isEmpty { pieces.append(.text(Array(text))) } }

  private mutating func skipComment() throws {
    while position < source.count, !starts("#}", at: position) { position += 1 }
    guard position < source.count else { throw error("a comment does not end") }
    let strips = source[position - 1] == UInt8(ascii: "-")
    let keeps = source[position - 1] == UInt8(ascii: "+")
    position += 2
    endTag(strips: strips, trims: !keeps)
  }

  /// Skips white space after a tag: all of it, or one line break.
  private mutating func endTag(strips: Bool, trims: Bool) {
    let start = position
    if strips {
      while position < source.count, isSpace(source[position]) { position += 1 }
    } else if trims, position < source.count, source[position] == 10 {
      position += 1
    }
    beginsLine = position > start && source[position - 1] == 10
  }

  private mutating func readRaw() throws {
    let start = position
    while position < source.count {
      if starts("{%", at: position) {
        let end = position
        position += 2
        let strips = position < source.count && source[position] == UInt8(ascii: "-")
        if strips { position += 1 }
        while position < source.count, isSpace(source[position]) { position += 1 }
        if starts("endraw", at: position) {
          var text = source[start..<end]
          if strips { while let last = text.last, isSpace(last) { text.removeLast() } }
          add(text)
          _ = try readTag(true)
          return
        }
        position = end
      }
      position += 1
    }
    throw error("raw text does not end")
  }

  // MARK: Tags

  private mutating func readTag(_ isBlock: Bool) throws -> [Token] {
    var tokens: [Token] = []
    var open: [UInt8] = []
    while true {
      while position < source.count, isSpace(source[position]) { position += 1 }
      guard position < source.count else { throw error("a tag does not end") }
      if open.isEmpty {
        let (strips, keeps) = (source[position] == UInt8(ascii: "-"), source[position] == UInt8(ascii: "+"))
        let end = position + (strips || keeps ? 1 : 0)
        if isBlock ? starts("%}", at: end) : starts("}}", at: end) {
          position = end + 2
          endTag(strips: strips, trims: isBlock && !keeps)
          return tokens
        }
      }
      guard tokens.count < TemplateLexer.maximumTokens else { throw error("a tag has too many parts") }
      tokens.append(try readToken(&open))
    }
  }

  private mutating func readToken(_ open: inout [UInt8]) throws -> Token {
    let byte = source[position]
    let start = position
    if isLetter(byte) {
      while position < source.count, isLetter(source[position]) || isDigit(source[position]) { position += 1 }
      return .name(String(decoding: source[start..<position], as: UTF8.self))
    }
    if isDigit(byte) { return try readNumber() }
    if byte == UInt8(ascii: "'") || byte == UInt8(ascii: "\"") { return .string(try readString()) }
    for symbol: StaticString in ["==", "!=", "<=", ">=", "//", "**"] where starts(symbol, at: position) {
      position += 2
      return .symbol(symbol.description)
    }
    guard "+-*/%~[](){}<>=.:|,".utf8.contains(byte) else {
      throw error("\(quoted(String(decoding: [byte], as: UTF8.self))) is not expected in a tag")
    }
    position += 1
    switch byte {
    case UInt8(ascii: "["), UInt8(ascii: "("), UInt8(ascii: "{"): open.append(byte)
    case UInt8(ascii: "]"), UInt8(ascii: ")"), UInt8(ascii: "}"):
      // The opening one is one or two below in ASCII.
      guard let last = open.popLast(), byte == last + (last == UInt8(ascii: "(") ? 1 : 2) else {
        throw error("a bracket is closed that was not opened")
      }
    default: break
    }
    return .symbol(String(decoding: [byte], as: UTF8.self))
  }

  private mutating func readNumber() throws -> Token {
    let start = position
    skipDigits()
    var isWhole = true
    if position + 1 < source.count, source[position] == UInt8(ascii: "."), isDigit(source[position + 1]) {
      isWhole = false
      position += 1
      skipDigits()
    }
    if position < source.count, source[position] | 0x20 == UInt8(ascii: "e") {
      var end = position + 1
      if end < source.count, source[end] == UInt8(ascii: "+") || source[end] == UInt8(ascii: "-") { end += 1 }
      if end < source.count, isDigit(source[end]) {
        isWhole = false
        position = end
        skipDigits()
      }
    }
    let text = String(decoding: source[start..<position].filter { $0 != 95 }, as: UTF8.self)
    if isWhole, let value = Int(text) { return .int(value) }
    guard !isWhole, let value = Double(text), value.isFinite else {
      throw error("the number \(quoted(text)) is too large")
    }
    return .double(value)
  }

  private mutating func skipDigits() {
    while position < source.count, isDigit(source[position]) || source[position] == 95 { position += 1 }
  }

  private mutating func readString() throws -> [UInt8] {
    let quote = source[position]
    var result: [UInt8] = []
    position += 1
    while position < source.count, source[position] != quote {
      guard source[position] == UInt8(ascii: "\\"), position + 1 < source.count else {
        result.append(source[position])
        position += 1
        continue
      }
      let escape = source[position + 1]
      position += 2
      switch escape {
      case UInt8(ascii: "n"): result.append(10)
      case UInt8(ascii: "t"): result.append(9)
      case UInt8(ascii: "r"): result.append(13)
      case UInt8(ascii: "a"): result.append(7)
      case UInt8(ascii: "b"): result.append(8)
      case UInt8(ascii: "f"): result.append(12)
      case UInt8(ascii: "v"): result.append(11)
      case UInt8(ascii: "0"): result.append(0)
      case 10: break
      case UInt8(ascii: "x"): result += try readScalar(digits: 2)
      case UInt8(ascii: "u"): result += try readScalar(digits: 4)
      case UInt8(ascii: "U"): result += try readScalar(digits: 8)
      case quote, UInt8(ascii: "\\"), UInt8(ascii: "'"), UInt8(ascii: "\""): result.append(escape)
      default: result += [UInt8(ascii: "\\"), escape]
      }
    }
    guard position < source.count else { throw error("a string does not end") }
    position += 1
    return result
  }

  private mutating func readScalar(digits: Int) throws -> [UInt8] {
    let end = position + digits
    guard end <= source.count,
      let value = UInt32(String(decoding: source[position..<end], as: UTF8.self), radix: 16),
      let scalar = Unicode.Scalar(value)
    else { throw error("an escape in a string is not \(digits) hexadecimal digits of a character") }
    position = end
    return Array(String(Character(scalar)).utf8)
  }
}

private func isSpace(_ byte: UInt8) -> Bool { byte == 32 || (9...13).contains(byte) }
private func isDigit(_ byte: UInt8) -> Bool { (48...57).contains(byte) }
private func isLetter(_ byte: UInt8) -> Bool { (65...90).contains(byte & 0xDF) || byte == 95 }

extension String {
  /// The text with every line break as one line feed.
  fileprivate var withLineFeeds: String {
    guard utf8.contains(13) else { return self }
    var result: [UInt8] = []
    for byte in utf8 {
      if byte == 10, result.last == 13 { result.removeLast() }
      result.append(byte)
    }
    return String(decoding: result.map { $0 == 13 ? 10 : $0 }, as: UTF8.self)
  }
}
