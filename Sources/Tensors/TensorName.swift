import Glibc

/// The name of a tensor: compared and hashed by its UTF-8 bytes.
///
/// Swift's `String` holds canonically equivalent spellings equal; checkpoints do not, and merging two tensors would
/// lose one.
public struct TensorName: Hashable, Comparable, Sendable, ExpressibleByStringLiteral, CustomStringConvertible {
  public let string: String

  public init(_ string: String) { self.string = string }
  public init(stringLiteral value: String) { self.string = value }

  public static func == (a: TensorName, b: TensorName) -> Bool {
    guard a.string.utf8.count == b.string.utf8.count else { return false }
    // Native strings are compared where they lie; a copy would cost a retain for each look-up.
    let same = a.string.utf8.withContiguousStorageIfAvailable { x in
      b.string.utf8.withContiguousStorageIfAvailable { y in
        x.isEmpty || memcmp(x.baseAddress!, y.baseAddress!, x.count) == 0
      }
    }
    return (same ?? nil) ?? a.string.utf8.elementsEqual(b.string.utf8)
  }

  public static func < (a: TensorName, b: TensorName) -> Bool { a.string.utf8.lexicographicallyPrecedes(b.string.utf8) }

  public func hash(into hasher: inout Hasher) {
    if string.utf8.withContiguousStorageIfAvailable({ hasher.combine(bytes: UnsafeRawBufferPointer($0)) }) != nil {
      return
    }
    var copy = string
    copy.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
  }

  public var description: String { string }
}

extension TensorName: Codable {
  public init(from decoder: any Decoder) throws { string = try decoder.singleValueContainer().decode(String.self) }
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(string)
  }
}
