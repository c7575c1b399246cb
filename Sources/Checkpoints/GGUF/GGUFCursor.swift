internal import Tensors

/// Reads the head of a GGUF file in its byte order.
struct GGUFCursor {
  private var reader: ByteReader
  let isBigEndian: Bool
  /// Bytes of text that metadata may still take.
  private var textBudget = GGUF.maximumTextByteCount

  init(_ reader: ByteReader, isBigEndian: Bool) {
    self.reader = reader
    self.isBigEndian = isBigEndian
  }

  var byteOffset: Int { reader.byteOffset }
  var remaining: Int { reader.remaining }

  mutating func integer<I: FixedWidthInteger & BitwiseCopyable>(_ type: I.Type = I.self, _ what: String) throws -> I {
    let value = try reader.integer(type, what)
    return isBigEndian ? value.byteSwapped : value
  }

  /// A number of things that take at least `least` bytes each, which must fit into what is left.
  mutating func count(of what: String, least: Int) throws -> Int {
    let count = try integer(UInt64.self, "the number of \(what)")
    guard count <= UInt64(remaining / least) else {
      throw BessemerError(
        .truncated, "truncated: \(count) \(what) claimed before byte \(byteOffset), \(remaining) bytes are left")
    }
    return Int(count)
  }

  /// A text of any bytes.
  mutating func bytes(_ what: String) throws -> Bytes {
    let count = try count(of: "bytes of \(what)", least: 1)
    return try reader.take(count, what)
  }

  /// A name of at most `limit` bytes, in UTF-8.
  mutating func name(_ what: String, limit: Int) throws -> String {
    let count = try count(of: "bytes of \(what)", least: 1)
    guard count <= limit else {
      throw BessemerError(.limit, "\(what) before byte \(byteOffset) has \(count) bytes, at most \(limit) are read")
    }
    return try reader.text(count, what)
  }

  /// Throws ``ErrorCode/limit`` when the texts of all metadata together become too long.
  mutating func spend(_ byteCount: Int) throws {
    textBudget -= byteCount
    guard textBudget >= 0 else {
      throw BessemerError(.limit, "the metadata takes more than \(GGUF.maximumTextByteCount) bytes as text")
    }
  }
}
