/// Writes JSON text: the same calls give the same bytes, members stay in the order of the calls.
///
/// ```swift
/// var json = JSONWriter()
/// json.object { json in
///   json.member("version", 1)
///   json.array("shape", [2, 3])
///   json.object("model") { $0.member("type", "glm4") }
/// }
/// ```
/// Whoever writes a key twice, or a member outside an object, has made a mistake that only tests notice.
public struct JSONWriter: Sendable {
  public enum Style: Sendable {
    /// Two spaces per level; arrays of scalars on one line.
    case pretty
    /// No space at all.
    case compact
  }

  private let style: Style
  private var depth = 0
  private var needsComma = false
  private var isAfterKey = false
  private var isInline = false

  /// The text so far, in UTF-8, without a line break at the end.
  public private(set) var utf8: [UInt8] = []

  public init(_ style: Style = .pretty) { self.style = style }

  /// The text so far.
  public var text: String { String(decoding: utf8, as: UTF8.self) }

  /// Writes an object as a value; `body` writes its members.
  public mutating func object(_ body: (inout JSONWriter) throws -> Void) rethrows {
    try container("{", "}", body)
  }

  /// Writes an array as a value; `body` writes its elements.
  public mutating func array(_ body: (inout JSONWriter) throws -> Void) rethrows {
    try container("[", "]", body)
  }

  /// Writes an object as a member.
  public mutating func object(_ key: String, _ body: (inout JSONWriter) throws -> Void) rethrows {
    self.key(key)
    try object(body)
  }

  /// Writes an array as a member.
  public mutating func array(_ key: String, _ body: (inout JSONWriter) throws -> Void) rethrows {
    self.key(key)
    try array(body)
  }

  /// Writes an array of integers on one line as a member.
  public mutating func array(_ key: String, _ values: some Sequence<Int>) {
    self.key(key)
    container("[", "]", onOneLine: true) { json in for value in values { json.value(value) } }
  }

  /// Writes an array of strings on one line as a member.
  public mutating func array(_ key: String, _ values: some Sequence<String>) {
    self.key(key)
    container("[", "]", onOneLine: true) { json in for value in values { json.value(value) } }
  }

  public mutating func member(_ key: String, _ value: String) {
    self.key(key)
    self.value(value)
  }

  public mutating func member(_ key: String, _ value: Int) {
    self.key(key)
    self.value(value)
  }

  public mutating func member(_ key: String, _ value: Double) {
    self.key(key)
    self.value(value)
  }

  public mutating func member(_ key: String, _ value: Bool) {
    self.key(key)
    self.value(value)
  }

  /// Writes a parsed value as a member.
  public mutating func member(_ key: String, _ value: JSON) {
    self.key(key)
    self.value(value)
  }

  public mutating func null(_ key: String) {
    self.key(key)
    null()
  }

  /// Writes the key of the value that is written next.
  public mutating func key(_ key: String) {
    separate()
    quote(key)
    utf8.append(UInt8(ascii: ":"))
    if style == .pretty { utf8.append(UInt8(ascii: " ")) }
    isAfterKey = true
  }

  public mutating func value(_ value: String) {
    separate()
    quote(value)
  }

  public mutating func value(_ value: Int) { raw(String(value)) }
  public mutating func value(_ value: UInt64) { raw(String(value)) }
  public mutating func value(_ value: Bool) { raw(value ? "true" : "false") }
  public mutating func null() { raw("null") }

  /// Writes the shortest text that reads back as the same number; JSON has no NaN and no infinity, they become null.
  public mutating func value(_ value: Double) { raw(value.isFinite ? value.description : "null") }

  /// Writes a parsed value again; numbers beyond 64 bits keep the value that a double holds.
  public mutating func value(_ value: JSON) {
    switch value.kind {
    case .null: null()
    case .bool: self.value(value.bool == true)
    case .integer: raw(value.int.map { String($0) } ?? value.uint64.map { String($0) } ?? "null")
    case .float: self.value(value.double ?? .nan)
    case .string: self.value(value.string ?? "")
    case .array: array { json in for element in value.elements { json.value(element) } }
    case .object: object { json in for (key, member) in value.members { json.member(key, member) } }
    }
  }

  private mutating func raw(_ text: String) {
    separate()
    utf8.append(contentsOf: text.utf8)
  }

  private mutating func container(
    _ open: Unicode.Scalar, _ close: Unicode.Scalar, onOneLine: Bool = false,
    _ body: (inout JSONWriter) throws -> Void
  ) rethrows {
    separate()
    let outer = isInline
    isInline = outer || onOneLine
    utf8.append(UInt8(ascii: open))
    depth += 1
    needsComma = false
    try body(&self)
    depth -= 1
    if needsComma { breakLine() }
    isInline = outer
    utf8.append(UInt8(ascii: close))
    needsComma = true
  }

  /// Writes what stands before a key or value: a comma, a line break.
  private mutating func separate() {
    if isAfterKey {
      isAfterKey = false
      return
    }
    if needsComma {
      utf8.append(UInt8(ascii: ","))
      if isInline, style == .pretty { utf8.append(UInt8(ascii: " ")) }
    }
    if depth > 0 { breakLine() }
    needsComma = true
  }

  private mutating func breakLine() {
    guard style == .pretty, !isInline else { return }
    utf8.append(UInt8(ascii: "\n"))
    utf8.append(contentsOf: repeatElement(UInt8(ascii: " "), count: depth * 2))
  }

  private mutating func quote(_ text: String) {
    utf8.append(UInt8(ascii: "\""))
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"): utf8 += [UInt8(ascii: "\\"), byte]
      case 10: utf8 += [UInt8(ascii: "\\"), UInt8(ascii: "n")]
      case 13: utf8 += [UInt8(ascii: "\\"), UInt8(ascii: "r")]
      case 9: utf8 += [UInt8(ascii: "\\"), UInt8(ascii: "t")]
      case 0..<0x20, 0x7F:
        let hex = String(byte, radix: 16)
        utf8 += Array("\\u".utf8) + Array(repeating: UInt8(ascii: "0"), count: 4 - hex.utf8.count) + Array(hex.utf8)
      default: utf8.append(byte)
      }
    }
    utf8.append(UInt8(ascii: "\""))
  }
}
