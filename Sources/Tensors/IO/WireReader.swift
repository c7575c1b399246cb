/// What fields are read from: ``ByteReader``, or a cursor over bytes that are not there yet.
public protocol WireCursor: Sendable {
  /// The offset of the next byte, counted from the origin.
  var byteOffset: Int { get }
  /// Bytes not read yet.
  var remaining: Int { get }
  /// The next integer; `what` names it in the error.
  mutating func integer<I: FixedWidthInteger & BitwiseCopyable>(_ type: I.Type, _ what: String) throws -> I
  /// A cursor over the next `count` bytes.
  mutating func window(count: Int, _ what: String) throws -> Self
}

extension WireCursor {
  public var isAtEnd: Bool { remaining == 0 }

  /// A base-128 number of at most 10 bytes, as protobuf has them; bits beyond 64 are an error.
  public mutating func varint(_ what: String) throws -> UInt64 {
    var value: UInt64 = 0
    for shift in stride(from: UInt64(0), through: 63, by: 7) {
      let byte = try integer(UInt8.self, what)
      guard shift < 63 || byte <= 1 else { break }
      value |= UInt64(byte & 0x7F) << shift
      if byte < 0x80 { return value }
    }
    throw BessemerError(.header, "\(what): number of more than 64 bits before byte \(byteOffset)")
  }

  /// A length as a base-128 number that must fit into what is left.
  public mutating func varintLength(_ what: String) throws -> Int { try checkedLength(try varint(what), what) }

  /// A length as a 64-bit number that must fit into what is left.
  public mutating func length(_ what: String) throws -> Int {
    try checkedLength(try integer(UInt64.self, what), what)
  }

  private func checkedLength(_ length: UInt64, _ what: String) throws -> Int {
    guard length <= UInt64(remaining) else {
      throw BessemerError(
        .truncated, "truncated: \(what) claims \(length) bytes before byte \(byteOffset), \(remaining) are left")
    }
    return Int(length)
  }
}

/// A cursor over the fields of a protobuf message. Lengths are of 64 bits; payloads are windows, not copied.
///
/// Groups, which no format here uses, are skipped without recursion. Whoever expects a field of another wire type
/// than it has takes it for unknown, as protobuf does. Source: protobuf.dev, "Encoding".
public struct WireReader<Cursor: WireCursor>: Sendable {
  /// What a field holds.
  public enum Value: Sendable {
    case varint(UInt64)
    case fixed64(UInt64)
    case fixed32(UInt32)
    /// A string, bytes, a message or packed numbers.
    case bytes(Cursor)
  }

  /// Groups inside each other.
  public static var maximumGroupDepth: Int { 100 }

  private var reader: Cursor

  public init(_ reader: Cursor) { self.reader = reader }

  /// The offset of the next byte, counted from the reader's origin.
  public var byteOffset: Int { reader.byteOffset }

  /// The next field, or nil at the end of the message.
  public mutating func next() throws -> (number: Int, value: Value)? {
    var groups: [Int] = []
    while !reader.isAtEnd {
      let start = reader.byteOffset
      let tag = try reader.varint("a field")
      let number = Int(truncatingIfNeeded: tag >> 3)
      guard (1...0x1FFF_FFFF).contains(number), tag <= UInt64(UInt32.max) else {
        throw BessemerError(.header, "no protobuf message: field number \(tag >> 3) at byte \(start)")
      }
      switch tag & 7 {
      case 3:
        guard groups.count < WireReader.maximumGroupDepth else {
          throw BessemerError(
            .limit, "protobuf groups more than \(WireReader.maximumGroupDepth) deep at byte \(start)")
        }
        groups.append(number)
      case 4:
        guard groups.popLast() == number else {
          throw BessemerError(.header, "no protobuf message: a group ends at byte \(start) that is not open")
        }
      default:
        let value = try value(tag & 7, start)
        if groups.isEmpty { return (number, value) }
      }
    }
    guard groups.isEmpty else {
      throw BessemerError(.truncated, "truncated: a protobuf group is open at byte \(reader.byteOffset)")
    }
    return nil
  }

  private mutating func value(_ type: UInt64, _ start: Int) throws -> Value {
    switch type {
    case 0: return .varint(try reader.varint("a number"))
    case 1: return .fixed64(try reader.integer(UInt64.self, "a number"))
    case 2:
      let count = try reader.varintLength("a field")
      return .bytes(try reader.window(count: count, "a field"))
    case 5: return .fixed32(try reader.integer(UInt32.self, "a number"))
    default: throw BessemerError(.header, "no protobuf message: wire type \(type) at byte \(start)")
    }
  }
}
