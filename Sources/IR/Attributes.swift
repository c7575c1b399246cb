public import Tensors

/// The value of an operator's attribute.
public enum Attribute: Sendable, Equatable {
  case int(Int)
  case float(Double)
  case bool(Bool)
  case string(String)
  case ints([Int])
  case floats([Double])
  case tensor(Tensor)
}

public typealias Attributes = [String: Attribute]

/// An attribute that is missing or of the wrong kind.
public struct AttributeError: Error, CustomStringConvertible {
  public let description: String
}

/// A tensor as an attribute: equal and hashed by type, shape and bits.
public struct TensorAttribute: Codable, Hashable, Sendable {
  public let tensor: Tensor
  public init(_ tensor: Tensor) { self.tensor = tensor }
  public init(from decoder: any Decoder) throws {
    guard let decoder = decoder as? AttributeValueDecoder, case .tensor(let tensor) = decoder.value else {
      throw AttributeError(description: "expected a tensor")
    }
    self.tensor = tensor
  }
  public func encode(to encoder: any Encoder) throws {
    guard let encoder = encoder as? AttributeValueEncoder else {
      throw AttributeError(description: "only an attribute")
    }
    encoder.value = .tensor(tensor)
  }
  public func hash(into hasher: inout Hasher) {
    hasher.combine(tensor.dtype)
    hasher.combine(tensor.shape)
    tensor.bytes.withUnsafeBytes { hasher.combine(bytes: $0) }
  }
}

extension Op {
  public var attributes: Attributes {
    if hasNoAttributes { return [:] }
    let encoder = AttributeEncoder()
    do { try encode(to: encoder) } catch { preconditionFailure("\(Self.name): \(error)") }
    let defaults = Self.defaults
    return encoder.values.filter { defaults[$0.key] != $0.value }
  }

  public init(attributes: Attributes) throws {
    let decoder = AttributeDecoder(values: Self.defaults.merging(attributes) { $1 })
    try self.init(from: decoder)
    if let surplus = attributes.keys.filter({ !decoder.used.names.contains($0) }).min() {
      throw AttributeError(description: "unknown attribute '\(surplus)'")
    }
  }
}

// MARK: - Codable over attributes

final class AttributeEncoder: Encoder {
  var values: Attributes = [:]
  var codingPath: [any CodingKey] { [] }
  var userInfo: [CodingUserInfoKey: Any] { [:] }
  func container<Key: CodingKey>(keyedBy _: Key.Type) -> KeyedEncodingContainer<Key> {
    KeyedEncodingContainer(Container<Key>(encoder: self))
  }
  func unkeyedContainer() -> any UnkeyedEncodingContainer { preconditionFailure("attributes have names") }
  func singleValueContainer() -> any SingleValueEncodingContainer { preconditionFailure("attributes have names") }

  private struct Container<Key: CodingKey>: KeyedEncodingContainerProtocol {
    let encoder: AttributeEncoder
    var codingPath: [any CodingKey] { [] }
    mutating func encodeNil(forKey _: Key) throws {}
    mutating func encode<T: Encodable>(_ value: T, forKey key: Key) throws {
      let inner = AttributeValueEncoder()
      try inner.encode(value)
      encoder.values[key.stringValue] = inner.value
    }
    mutating func nestedContainer<N: CodingKey>(keyedBy _: N.Type, forKey _: Key) -> KeyedEncodingContainer<N> {
      preconditionFailure("attributes do not nest")
    }
    mutating func nestedUnkeyedContainer(forKey _: Key) -> any UnkeyedEncodingContainer {
      preconditionFailure("attributes do not nest")
    }
    mutating func superEncoder() -> any Encoder { preconditionFailure("attributes do not nest") }
    mutating func superEncoder(forKey _: Key) -> any Encoder { preconditionFailure("attributes do not nest") }
  }
}

final class AttributeValueEncoder: Encoder, SingleValueEncodingContainer {
  var value: Attribute?
  var codingPath: [any CodingKey] { [] }
  var userInfo: [CodingUserInfoKey: Any] { [:] }
  func container<Key: CodingKey>(keyedBy _: Key.Type) -> KeyedEncodingContainer<Key> {
    preconditionFailure("attributes do not nest")
  }
  func unkeyedContainer() -> any UnkeyedEncodingContainer { preconditionFailure("attributes do not nest") }
  func singleValueContainer() -> any SingleValueEncodingContainer { self }
  func encodeNil() throws {}
  func encode<T: Encodable>(_ new: T) throws {
    switch new {
    case let x as Int: value = .int(x)
    case let x as Double: value = .float(x)
    case let x as Bool: value = .bool(x)
    case let x as String: value = .string(x)
    case let x as [Int]: value = .ints(x)
    case let x as [Double]: value = .floats(x)
    default: try new.encode(to: self)
    }
  }
}

struct AttributeDecoder: Decoder {
  final class Used { var names: Set<String> = [] }
  let values: Attributes
  let used = Used()
  var codingPath: [any CodingKey] { [] }
  var userInfo: [CodingUserInfoKey: Any] { [:] }
  func container<Key: CodingKey>(keyedBy _: Key.Type) throws -> KeyedDecodingContainer<Key> {
    KeyedDecodingContainer(Container<Key>(values: values, used: used))
  }
  func unkeyedContainer() throws -> any UnkeyedDecodingContainer {
    throw AttributeError(description: "attributes have names")
  }
  func singleValueContainer() throws -> any SingleValueDecodingContainer {
    throw AttributeError(description: "attributes have names")
  }

  private struct Container<Key: CodingKey>: KeyedDecodingContainerProtocol {
    let values: Attributes
    let used: Used
    var codingPath: [any CodingKey] { [] }
    var allKeys: [Key] { values.keys.compactMap { Key(stringValue: $0) } }
    func contains(_ key: Key) -> Bool { values[key.stringValue] != nil }
    func decodeNil(forKey key: Key) throws -> Bool { values[key.stringValue] == nil }
    func decode<T: Decodable>(_: T.Type, forKey key: Key) throws -> T {
      used.names.insert(key.stringValue)
      guard let value = values[key.stringValue] else {
        throw AttributeError(description: "missing attribute '\(key.stringValue)'")
      }
      do { return try AttributeValueDecoder(value: value).decode(T.self) } catch let error as AttributeError {
        throw AttributeError(description: "attribute '\(key.stringValue)': \(error.description)")
      }
    }
    func nestedContainer<N: CodingKey>(keyedBy _: N.Type, forKey _: Key) throws -> KeyedDecodingContainer<N> {
      throw AttributeError(description: "attributes do not nest")
    }
    func nestedUnkeyedContainer(forKey _: Key) throws -> any UnkeyedDecodingContainer {
      throw AttributeError(description: "attributes do not nest")
    }
    func superDecoder() throws -> any Decoder { throw AttributeError(description: "attributes do not nest") }
    func superDecoder(forKey _: Key) throws -> any Decoder {
      throw AttributeError(description: "attributes do not nest")
    }
  }
}

struct AttributeValueDecoder: Decoder, SingleValueDecodingContainer {
  let value: Attribute
  var codingPath: [any CodingKey] { [] }
  var userInfo: [CodingUserInfoKey: Any] { [:] }
  func container<Key: CodingKey>(keyedBy _: Key.Type) throws -> KeyedDecodingContainer<Key> {
    throw AttributeError(description: "attributes do not nest")
  }
  func unkeyedContainer() throws -> any UnkeyedDecodingContainer {
    throw AttributeError(description: "attributes do not nest")
  }
  func singleValueContainer() throws -> any SingleValueDecodingContainer { self }
  func decodeNil() -> Bool { false }
  func decode<T: Decodable>(_: T.Type) throws -> T {
    let plain: Any? =
      switch value {
      case .int(let x): T.self == Double.self ? Double(x) : x
      case .float(let x): x
      case .bool(let x): x
      case .string(let x): x
      case .ints(let x): T.self == [Double].self ? x.map { Double($0) } : x
      case .floats(let x): x.isEmpty && T.self == [Int].self ? [Int]() : x
      case .tensor: nil
      }
    if let result = plain as? T { return result }
    switch T.self {
    case is Int.Type, is Double.Type, is Bool.Type, is String.Type, is [Int].Type, is [Double].Type:
      throw AttributeError(description: "expected \(T.self), got \(value)")
    default:
      do { return try T(from: self) } catch is DecodingError {
        throw AttributeError(description: "\(value) is not a known \(T.self)")
      }
    }
  }
}
