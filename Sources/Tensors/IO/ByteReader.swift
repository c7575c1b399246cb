/// A cursor over little-endian bytes. Every read is checked; errors say the byte offset and what was expected.
///
/// Nested messages are read by a reader over a window (``window(count:_:)``), whose offsets count from the same origin.
public struct ByteReader: WireCursor {
  private let bytes: Bytes
  /// Where `bytes` starts in the file, for messages.
  private let origin: Int
  private var position = 0

  public init(_ bytes: Bytes, origin: Int = 0) {
    self.bytes = bytes
    self.origin = origin
  }

  /// The offset of the next byte, counted from the origin.
  public var byteOffset: Int { origin + position }
  /// Bytes not read yet.
  public var remaining: Int { bytes.count - position }

  /// The next integer; `what` names it in the error.
  public mutating func integer<I: FixedWidthInteger & BitwiseCopyable>(_ type: I.Type = I.self, _ what: String) throws
    -> I
  {
    let size = MemoryLayout<I>.size
    try need(size, what)
    let value = bytes.withUnsafeBytes { $0.bytes.unsafeLoadUnaligned(fromByteOffset: position, as: I.self) }
    position += size
    return I(littleEndian: value)
  }

  public mutating func float(_ what: String) throws -> Float { Float(bitPattern: try integer(UInt32.self, what)) }
  public mutating func double(_ what: String) throws -> Double { Double(bitPattern: try integer(UInt64.self, what)) }

  /// The next `count` bytes, not copied.
  public mutating func take(_ count: Int, _ what: String) throws -> Bytes {
    try need(count, what)
    defer { position += count }
    return bytes[position..<(position + count)]
  }

  /// A reader over the next `count` bytes.
  public mutating func window(count: Int, _ what: String) throws -> ByteReader {
    let start = byteOffset
    return ByteReader(try take(count, what), origin: start)
  }

  /// The next `count` bytes as UTF-8 text, which must be well-formed.
  public mutating func text(_ count: Int, _ what: String) throws -> String {
    let start = byteOffset
    let raw = try take(count, what)
    guard let text = raw.withUnsafeBytes({ String(validating: $0, as: UTF8.self) }) else {
      throw BessemerError(.header, "\(what) at byte \(start) is not UTF-8")
    }
    return text
  }

  public mutating func skip(_ count: Int, _ what: String) throws { _ = try take(count, what) }

  private func need(_ count: Int, _ what: String) throws {
    guard count >= 0, count <= remaining else {
      throw BessemerError(
        .truncated, "truncated: \(what) needs \(count) bytes at byte \(byteOffset), \(remaining) are left")
    }
  }
}

/// Arithmetic on sizes from files: nil instead of a trap when the result is negative or does not fit.
public enum CheckedSize {
  public static func sum(_ a: Int, _ b: Int) -> Int? {
    let (result, overflow) = a.addingReportingOverflow(b)
    return overflow || result < 0 ? nil : result
  }

  public static func product(_ a: Int, _ b: Int) -> Int? {
    let (result, overflow) = a.multipliedReportingOverflow(by: b)
    return overflow || result < 0 ? nil : result
  }

  /// `size` rounded up to a multiple of `alignment`, a power of two.
  public static func aligned(_ size: Int, to alignment: Int) -> Int? {
    sum(size, alignment - 1).map { $0 & ~(alignment - 1) }
  }
}
