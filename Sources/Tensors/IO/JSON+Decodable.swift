extension JSON {
  /// Decodes a value, in the manner of `JSONDecoder` but over this document.
  ///
  /// A `null` counts as absent for an optional. An integer may be written `64.0`; `64.5` is refused, and so is what
  /// does not fit the type. Unknown keys are ignored. Errors are ``BessemerError`` with `code`, and name the key and
  /// the value.
  public func decode<T: Decodable>(
    _ type: T.Type = T.self, code: ErrorCode = .json, keys: KeyStyle = .asWritten
  ) throws -> T {
    try JSONValueDecoder(json: self, code: code, keys: keys).unbox(T.self)
  }

  /// How the names of properties stand in the text.
  public enum KeyStyle: Sendable {
    case asWritten
    /// `hiddenSize` as `hidden_size`.
    case snakeCase

    func text(_ key: some CodingKey) -> String {
      guard self == .snakeCase else { return key.stringValue }
      var result: [UInt8] = []
      for byte in key.stringValue.utf8 {
        let isCapital = byte >= UInt8(ascii: "A") && byte <= UInt8(ascii: "Z")
        result += isCapital ? [UInt8(ascii: "_"), byte | 0x20] : [byte]
      }
      return String(decoding: result, as: UTF8.self)
    }
  }
}

/// A decoder over one value; it is its own single-value container.
struct JSONValueDecoder: Decoder, SingleValueDecodingContainer {
  let json: JSON
  let code: ErrorCode
  let keys: JSON.KeyStyle

  var codingPath: [any CodingKey] { [] }
  var userInfo: [CodingUserInfoKey: Any] { [:] }

  func container<Key: CodingKey>(keyedBy type: Key.Type) throws -> KeyedDecodingContainer<Key> {
    guard json.kind == .object else { throw json.mismatch("an object", code: code) }
    return KeyedDecodingContainer(JSONKeyedContainer(json: json, code: code, keys: keys))
  }

  func unkeyedContainer() throws -> any UnkeyedDecodingContainer {
    guard json.kind == .array else { throw json.mismatch("an array", code: code) }
    return JSONUnkeyedContainer(json: json, code: code, keys: keys)
  }

  func singleValueContainer() -> any SingleValueDecodingContainer { self }

  func decodeNil() -> Bool { json.isNull }
  func decode(_ type: Bool.Type) throws -> Bool { try unbox(type) }
  func decode(_ type: String.Type) throws -> String { try unbox(type) }
  func decode(_ type: Double.Type) throws -> Double { try unbox(type) }
  func decode(_ type: Float.Type) throws -> Float { try unbox(type) }
  func decode(_ type: Int.Type) throws -> Int { try unbox(type) }
  func decode(_ type: Int8.Type) throws -> Int8 { try unbox(type) }
  func decode(_ type: Int16.Type) throws -> Int16 { try unbox(type) }
  func decode(_ type: Int32.Type) throws -> Int32 { try unbox(type) }
  func decode(_ type: Int64.Type) throws -> Int64 { try unbox(type) }
  func decode(_ type: UInt.Type) throws -> UInt { try unbox(type) }
  func decode(_ type: UInt8.Type) throws -> UInt8 { try unbox(type) }
  func decode(_ type: UInt16.Type) throws -> UInt16 { try unbox(type) }
  func decode(_ type: UInt32.Type) throws -> UInt32 { try unbox(type) }
  func decode(_ type: UInt64.Type) throws -> UInt64 { try unbox(type) }
  func decode<T: Decodable>(_ type: T.Type) throws -> T { try unbox(type) }

  /// The value as `T`; scalars are taken directly, everything else through its own `init(from:)`.
  func unbox<T: Decodable>(_ type: T.Type) throws -> T {
    let value: Any?
    switch type {
    case is Bool.Type: value = json.bool
    case is String.Type: value = json.string
    case is Double.Type: value = json.double.flatMap { $0.isFinite ? $0 : nil }
    case is Float.Type: value = json.double.map { Float($0) }.flatMap { $0.isFinite ? $0 : nil }
    case let integer as any FixedWidthInteger.Type: value = self.integer(integer)
    case is JSON.Type: value = json
    default: return try decoded(type)
    }
    guard let result = value as? T else { throw json.mismatch(JSONValueDecoder.expectation(type), code: code) }
    return result
  }

  private func integer<I: FixedWidthInteger>(_ type: I.Type) -> (any FixedWidthInteger)? {
    if json.kind == .float { return json.double.flatMap { I(exactly: $0) } }
    return json.int.flatMap { I(exactly: $0) } ?? json.uint64.flatMap { I(exactly: $0) }
  }

  private func decoded<T: Decodable>(_ type: T.Type) throws -> T {
    do { return try T(from: self) } catch let error as DecodingError {
      // Thrown by types with a decoding of their own: enums of strings, for instance.
      if case .dataCorrupted = error { throw json.mismatch("a known value", code: code) }
      throw json.mismatch("a value that makes a \(type)", code: code)
    }
  }

  private static func expectation(_ type: Any.Type) -> String {
    switch type {
    case is Bool.Type: "true or false"
    case is String.Type: "a string"
    case is any FixedWidthInteger.Type: "an integer"
    default: "a number"
    }
  }
}

/// The members of an object, decoded one by one.
private struct JSONKeyedContainer<Key: CodingKey>: KeyedDecodingContainerProtocol {
  let json: JSON
  let code: ErrorCode
  let keys: JSON.KeyStyle

  var codingPath: [any CodingKey] { [] }
  var allKeys: [Key] { json.members.compactMap { Key(stringValue: $0.key) } }

  func contains(_ key: Key) -> Bool { json[keys.text(key)] != nil }

  func decodeNil(forKey key: Key) throws -> Bool { json[keys.text(key)]?.isNull ?? true }

  func decode<T: Decodable>(_ type: T.Type, forKey key: Key) throws -> T { try value(key).unbox(type) }

  func nestedContainer<Nested: CodingKey>(
    keyedBy type: Nested.Type, forKey key: Key
  ) throws -> KeyedDecodingContainer<Nested> {
    try value(key).container(keyedBy: type)
  }

  func nestedUnkeyedContainer(forKey key: Key) throws -> any UnkeyedDecodingContainer {
    try value(key).unkeyedContainer()
  }

  func superDecoder() throws -> any Decoder { JSONValueDecoder(json: json, code: code, keys: keys) }
  func superDecoder(forKey key: Key) throws -> any Decoder { try value(key) }

  private func value(_ key: Key) throws -> JSONValueDecoder {
    guard let member = json[keys.text(key)] else {
      let place = json.path
      throw BessemerError(code, "\(quoted((place.isEmpty ? "" : place + ".") + keys.text(key))) is missing")
    }
    return JSONValueDecoder(json: member, code: code, keys: keys)
  }
}

/// The elements of an array, decoded in order.
private struct JSONUnkeyedContainer: UnkeyedDecodingContainer {
  let json: JSON
  let code: ErrorCode
  let keys: JSON.KeyStyle
  private var rest: JSON.Elements
  private var upcoming: JSON?
  private(set) var currentIndex = 0

  init(json: JSON, code: ErrorCode, keys: JSON.KeyStyle) {
    self.json = json
    self.code = code
    self.keys = keys
    rest = json.elements
    upcoming = rest.next()
  }

  var codingPath: [any CodingKey] { [] }
  var count: Int? { json.count }
  var isAtEnd: Bool { upcoming == nil }

  mutating func decodeNil() throws -> Bool {
    guard let upcoming, upcoming.isNull else { return false }
    advance()
    return true
  }

  mutating func decode<T: Decodable>(_ type: T.Type) throws -> T {
    let result = try peek().unbox(type)
    advance()
    return result
  }

  mutating func nestedContainer<Nested: CodingKey>(
    keyedBy type: Nested.Type
  ) throws -> KeyedDecodingContainer<Nested> {
    let result = try peek().container(keyedBy: type)
    advance()
    return result
  }

  mutating func nestedUnkeyedContainer() throws -> any UnkeyedDecodingContainer {
    let result = try peek().unkeyedContainer()
    advance()
    return result
  }

  mutating func superDecoder() throws -> any Decoder {
    let result = try peek()
    advance()
    return result
  }

  private func peek() throws -> JSONValueDecoder {
    guard let upcoming else { throw json.mismatch("more than \(json.count) elements", code: code) }
    return JSONValueDecoder(json: upcoming, code: code, keys: keys)
  }

  private mutating func advance() {
    upcoming = rest.next()
    currentIndex += 1
  }
}

extension JSON: Decodable {
  /// Lets a member of a decoded type be kept as JSON; only ``decode(_:code:)`` can decode it.
  public init(from decoder: any Decoder) throws {
    guard let decoder = decoder as? JSONValueDecoder else {
      throw BessemerError(.json, "a JSON value is decoded by JSON.decode only")
    }
    self = decoder.json
  }
}
