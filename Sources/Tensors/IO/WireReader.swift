/// A cursor over the fields of a protobuf message. Lengths are of 64 bits; payloads are windows, not copied.
///
/// Groups, which no format here uses, are skipped without recursion. Whoever expects a field of another wire type
/// than it has takes it for unknown, as protobuf does. Source: protobuf.dev, "Encoding".
public struct WireReader: Sendable {
  /// What a field holds.
  public enum Value: Sendable {
    case varint(UInt64)
    case fixed64(UInt64)
    case fixed32(UInt32)
    /// A string, bytes, a message or packed numbers.
    case bytes(ByteReader)
  }

  /// Groups inside each other.
  public static let maximumGroupDepth = 100

  private var reader: ByteReader

  public init(_ reader: ByteReader) { self.reader = reader }

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
