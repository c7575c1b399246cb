public import Tensors
internal import Tokenizers

/// What a rule of a map matches: a name, where `*` stands for any text, `?` for one character and `{field}` for text
/// without dots, a backslash before any of them for itself; or `/REGEX/` found anywhere, with groups.
public struct MapPattern: Sendable {
  /// The text of a pattern that matches this name alone, or of a template that gives it.
  static func literal(_ name: String) -> String {
    var text = ""
    for scalar in name.unicodeScalars {
      if ["*", "?", "{", "\\"].contains(scalar) || text.isEmpty && scalar == "/" { text += "\\" }
      text.unicodeScalars.append(scalar)
    }
    return text
  }

  /// What a pattern left open, filled in by a name.
  public struct Captures: Sendable, Hashable {
    /// By `{field}` or `(?<name>…)`.
    var fields: [String: String] = [:]
    /// By position: stars and question marks, or groups.
    var texts: [String] = []
  }

  private enum Token {
    case literal([UInt8])
    case any
    case one
    case field(String)
  }

  public let text: String
  private let tokens: [Token]
  private let regex: NameRegex?
  /// The name, when nothing is left open.
  let name: TensorName?

  /// Throws ``ErrorCode/usage`` when the text is no pattern.
  public init(_ text: String) throws {
    self.text = text
    if text.utf8.count >= 2, text.hasPrefix("/"), text.hasSuffix("/") {
      do { regex = try NameRegex(String(text.dropFirst().dropLast())) } catch let error as BessemerError {
        throw BessemerError(.usage, "\(quoted(text)) is not a regular expression: \(error.message)")
      }
      (tokens, name) = ([], nil)
      return
    }
    regex = nil
    tokens = try MapPattern.parse(text)
    switch tokens.first {
    case nil: throw BessemerError(.usage, "a pattern is empty")
    case .literal(let bytes) where tokens.count == 1: name = TensorName(String(decoding: bytes, as: UTF8.self))
    default: name = nil
    }
  }

  /// The fields that a name fills in.
  var fields: Set<String> {
    if let regex { return Set(regex.groups.compactMap { $0 }) }
    return Set(tokens.compactMap { if case .field(let name) = $0 { name } else { nil } })
  }

  /// How many texts a name fills in by position.
  var textCount: Int {
    if let regex { return regex.groups.count }
    return tokens.count { if case .any = $0 { true } else if case .one = $0 { true } else { false } }
  }

  /// What the name fills in; nil when it does not match. Throws ``ErrorCode/limit`` when an expression takes too long.
  public func match(_ name: TensorName) throws -> Captures? {
    if let own = self.name { return own == name ? Captures() : nil }
    if let regex {
      guard let groups = try regex.firstMatch(in: name.string) else { return nil }
      var captures = Captures(texts: groups.map { $0 ?? "" })
      for case (let field?, let text) in zip(regex.groups, captures.texts) { captures.fields[field] = text }
      return captures
    }
    var matcher = Matcher(tokens: tokens, name: Array(name.string.utf8))
    return matcher.match() ? matcher.captures : nil
  }

  private static func parse(_ text: String) throws -> [Token] {
    var tokens: [Token] = []
    var literal: [UInt8] = []
    func flush() {
      if !literal.isEmpty { tokens.append(.literal(literal)) }
      literal = []
    }
    var rest = text.unicodeScalars[...]
    while let scalar = rest.popFirst() {
      switch scalar {
      case "*", "?":
        flush()
        tokens.append(scalar == "*" ? .any : .one)
      case "{":
        flush()
        tokens.append(.field(try MapPattern.field(&rest, text)))
      case "\\":
        guard let next = rest.popFirst() else { throw BessemerError(.usage, "\(quoted(text)) ends with a backslash") }
        literal += String(next).utf8
      default: literal += String(scalar).utf8
      }
    }
    flush()
    return tokens
  }

  /// The name up to a closing brace: letters, digits and underscores.
  static func field(_ rest: inout Substring.UnicodeScalarView, _ text: String) throws -> String {
    var name = ""
    while let scalar = rest.popFirst(), scalar != "}" {
      guard scalar == "_" || scalar.isASCII && (scalar.properties.isAlphabetic || ("0"..."9").contains(scalar)) else {
        throw BessemerError(.usage, "\(quoted(text)): a field is letters, digits and underscores between braces")
      }
      name.unicodeScalars.append(scalar)
    }
    guard !name.isEmpty else { throw BessemerError(.usage, "\(quoted(text)) has an empty field") }
    return name
  }

  /// Tries tokens against a name from left to right, the shortest text first.
  private struct Matcher {
    let tokens: [Token]
    let name: [UInt8]
    var captures = Captures()
    /// Places that were tried in vain, so that every one is tried once.
    private var failed: Set<Int> = []

    init(tokens: [Token], name: [UInt8]) { (self.tokens, self.name) = (tokens, name) }

    mutating func match() -> Bool { match(0, 0) }

    private mutating func match(_ token: Int, _ place: Int) -> Bool {
      guard token < tokens.count else { return place == name.count }
      let key = token * (name.count + 1) + place
      guard !failed.contains(key) else { return false }
      if attempt(token, place) { return true }
      failed.insert(key)
      return false
    }

    private mutating func attempt(_ token: Int, _ place: Int) -> Bool {
      switch tokens[token] {
      case .literal(let bytes): return name[place...].starts(with: bytes) && match(token + 1, place + bytes.count)
      case .one:
        guard place < name.count else { return false }
        var end = place + 1
        while end < name.count, name[end] & 0xC0 == 0x80 { end += 1 }
        return take(place..<end, token)
      case .any:
        for end in place...name.count where take(place..<end, token) { return true }
        return false
      case .field(let field):
        let bound = captures.fields[field]
        var end = place
        while end < name.count, name[end] != UInt8(ascii: ".") {
          end += 1
          let text = String(decoding: name[place..<end], as: UTF8.self)
          // A field that occurs twice stands for the same text.
          if let bound, bound != text { continue }
          captures.fields[field] = text
          if match(token + 1, end) { return true }
          captures.fields[field] = bound
        }
        return false
      }
    }

    private mutating func take(_ range: Range<Int>, _ token: Int) -> Bool {
      captures.texts.append(String(decoding: name[range], as: UTF8.self))
      if match(token + 1, range.upperBound) { return true }
      captures.texts.removeLast()
      return false
    }
  }
}

/// The name that a rule gives: of a plain pattern, `*` and `?` stand for the texts that the pattern's stars and
/// question marks matched, in order, and `{field}` for its fields; of an expression, `$1` or `${1}` for a group,
/// `${name}` for a named one and `$$` for `$`.
public struct MapTemplate: Sendable {
  private enum Part {
    case literal(String)
    case text(Int)
    case field(String)
  }

  public let text: String
  private let parts: [Part]

  /// Throws ``ErrorCode/usage`` when the text is no template for names that `pattern` matches; `extra` are fields that
  /// are filled in besides.
  public init(_ text: String, for pattern: MapPattern, extra: Set<String> = []) throws {
    self.text = text
    let isRegex = pattern.text.hasPrefix("/") && pattern.text.hasSuffix("/") && pattern.text.utf8.count >= 2
    parts = try isRegex ? MapTemplate.parseGroups(text) : MapTemplate.parseStars(text)
    let known = pattern.fields.union(extra)
    guard !parts.isEmpty else { throw BessemerError(.usage, "a name to give is empty") }
    for part in parts {
      switch part {
      case .literal: break
      case .text(let index):
        guard index < pattern.textCount else {
          throw BessemerError(
            .usage, "\(quoted(text)) uses text \(index + 1) of \(quoted(pattern.text)), which has \(pattern.textCount)")
        }
      case .field(let name):
        guard known.contains(name) else {
          throw BessemerError(.usage, "\(quoted(text)) uses {\(name)}, which \(quoted(pattern.text)) lacks")
        }
      }
    }
  }

  func filled(_ captures: MapPattern.Captures) -> TensorName {
    var result = ""
    for part in parts {
      switch part {
      case .literal(let text): result += text
      case .text(let index): result += captures.texts[index]
      case .field(let name): result += captures.fields[name] ?? ""
      }
    }
    return TensorName(result)
  }

  private static func parseStars(_ text: String) throws -> [Part] {
    var parts: [Part] = []
    var count = 0
    var rest = text.unicodeScalars[...]
    while let scalar = rest.popFirst() {
      switch scalar {
      case "*", "?":
        parts.append(.text(count))
        count += 1
      case "{": parts.append(.field(try MapPattern.field(&rest, text)))
      case "\\":
        guard let next = rest.popFirst() else { throw BessemerError(.usage, "\(quoted(text)) ends with a backslash") }
        parts.append(.literal(String(next)))
      default: parts.append(.literal(String(scalar)))
      }
    }
    return parts
  }

  private static func parseGroups(_ text: String) throws -> [Part] {
    var parts: [Part] = []
    var rest = text.unicodeScalars[...]
    while let scalar = rest.popFirst() {
      guard scalar == "$" else {
        parts.append(.literal(String(scalar)))
        continue
      }
      guard let next = rest.popFirst() else { throw BessemerError(.usage, "\(quoted(text)) ends with a dollar sign") }
      if next == "$" {
        parts.append(.literal("$"))
      } else if next == "{" {
        let name = try MapPattern.field(&rest, text)
        parts.append(Int(name).map { .text($0 - 1) } ?? .field(name))
      } else if let digit = Int(String(next)), digit > 0 {
        parts.append(.text(digit - 1))
      } else {
        throw BessemerError(.usage, "\(quoted(text)): expected a number or ${name} after the dollar sign")
      }
    }
    for case .text(let index) in parts where index < 0 {
      throw BessemerError(.usage, "\(quoted(text)): groups are numbered from 1")
    }
    return parts
  }
}
