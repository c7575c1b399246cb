internal import CYaml
public import Tensors

/// A value of a YAML file, with the line that it starts on.
///
/// Read is one document of mappings, sequences and scalars. Refused are tags, keys that are no scalars, keys that occur
/// twice, and, unless they are asked for, anchors and aliases; what an alias repeats counts each time.
public struct YAML: Sendable {
  public enum Content: Sendable {
    /// The text of a scalar; one without quotes may be a number, a truth value or nothing.
    case scalar(String, isPlain: Bool)
    case sequence([YAML])
    case mapping([(key: String, line: Int, value: YAML)])
  }

  public let content: Content
  /// From 1.
  public let line: Int

  /// Bytes of a file.
  public static let maximumByteCount = 64 << 20
  /// Values inside each other.
  public static let maximumDepth = 32
  /// Values of a file.
  public static let maximumNodeCount = 2_000_000

  /// Reads the file at `path`.
  public static func read(_ path: String, aliases: Bool = false) throws -> YAML {
    try inFile(path) { try parse(InputFile.contents(of: path, limit: maximumByteCount), aliases: aliases) }
  }

  /// Throws ``ErrorCode/yaml`` with the line for what is not read, ``ErrorCode/limit`` beyond the limits.
  public static func parse(_ bytes: Bytes, aliases: Bool = false) throws -> YAML {
    guard bytes.count <= maximumByteCount else {
      throw BessemerError(.limit, "a YAML text of \(bytes.count) bytes, at most \(maximumByteCount) are read")
    }
    return try bytes.withUnsafeBytes { try YAMLParser.parse($0, aliases: aliases) }
  }

  // MARK: Values of a kind

  /// An error that says what was expected here.
  public func mismatch(_ expected: String) -> BessemerError {
    BessemerError(.yaml, "line \(line): expected \(expected), found \(summary)")
  }

  /// What it is, for messages.
  public var summary: String {
    switch content {
    case .scalar(let text, _): text.isEmpty ? "nothing" : quoted(text)
    case .sequence: "a list"
    case .mapping: "a mapping"
    }
  }

  public func asMapping() throws -> [(key: String, line: Int, value: YAML)] {
    guard case .mapping(let members) = content else { throw mismatch("a mapping") }
    return members
  }

  public func asSequence() throws -> [YAML] {
    guard case .sequence(let elements) = content else { throw mismatch("a list") }
    return elements
  }

  /// The text of a scalar, which must not be empty.
  public func asString() throws -> String {
    guard case .scalar(let text, let isPlain) = content, !text.isEmpty || !isPlain else { throw mismatch("a text") }
    return text
  }

  public func asInt() throws -> Int {
    guard case .scalar(let text, true) = content, let number = Int(text) else { throw mismatch("a whole number") }
    return number
  }

  public func asInts() throws -> [Int] { try asSequence().map { try $0.asInt() } }

  public func asDouble() throws -> Double {
    guard case .scalar(let text, true) = content, let number = Double(text), number.isFinite else {
      throw mismatch("a number")
    }
    return number
  }

  /// `true` or `false`, also with a capital.
  public func asBool() throws -> Bool {
    guard case .scalar(let text, true) = content,
      let value = ["true": true, "True": true, "false": false, "False": false][text]
    else { throw mismatch("true or false") }
    return value
  }
}
