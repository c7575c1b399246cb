extension JSON {
  /// The member with this key; throws ``ErrorCode/json`` when this is no object or lacks it.
  public func required(_ key: String) throws -> JSON {
    guard kind == .object else { throw mismatch("an object with \(quoted(key))") }
    guard let value = self[key] else {
      throw BessemerError(.json, "\(subject) lacks \(quoted(key)) (object at byte \(byteOffset))")
    }
    return value
  }

  /// The member with this key, or nil when it is absent or null; throws when this is no object.
  public func optional(_ key: String) throws -> JSON? {
    guard kind == .object else { throw mismatch("an object") }
    return self[key].flatMap { $0.isNull ? nil : $0 }
  }

  /// The integer; `64.0` counts as 64. Throws ``ErrorCode/json`` for anything else.
  public func asInt() throws -> Int {
    guard let integralInt else { throw mismatch("an integer") }
    return integralInt
  }

  /// The integer, which must lie in `range`.
  public func asInt(in range: ClosedRange<Int>) throws -> Int {
    guard let integralInt, range.contains(integralInt) else {
      throw mismatch("an integer from \(range.lowerBound) to \(range.upperBound)")
    }
    return integralInt
  }

  /// The number; throws ``ErrorCode/json`` when it is none or beyond the range of a double.
  public func asDouble() throws -> Double {
    guard let double, double.isFinite else { throw mismatch("a number") }
    return double
  }

  public func asBool() throws -> Bool {
    guard let bool else { throw mismatch("true or false") }
    return bool
  }

  public func asString() throws -> String {
    guard let string else { throw mismatch("a string") }
    return string
  }

  /// The elements; throws ``ErrorCode/json`` when this is no array.
  public func asArray() throws -> Elements {
    guard kind == .array else { throw mismatch("an array") }
    return elements
  }

  /// The members; throws ``ErrorCode/json`` when this is no object.
  public func asObject() throws -> Members {
    guard kind == .object else { throw mismatch("an object") }
    return members
  }

  /// How this value is reached from the root: `text_config.layers[3]`; empty for the root.
  public var path: String { document.path(to: index) }

  /// The error for a value that is not what was expected: names its path, what it is and its byte offset.
  public func mismatch(_ expected: String, code: ErrorCode = .json) -> BessemerError {
    BessemerError(code, "\(subject) is \(summary) at byte \(byteOffset), expected \(expected)")
  }

  /// The value as a message shows it: short, with names escaped.
  public var summary: String {
    switch kind {
    case .null: "null"
    case .bool: bool == true ? "true" : "false"
    case .integer: int.map { String($0) } ?? uint64.map { String($0) } ?? "an integer"
    case .float: double.map { "the number \($0)" } ?? "a number"
    case .string: string.map { "the string \(quoted($0))" } ?? "a string"
    case .array: "an array of \(count)"
    case .object: "an object"
    }
  }

  private var subject: String {
    let path = path
    return path.isEmpty ? "the JSON text" : quoted(path)
  }
}
