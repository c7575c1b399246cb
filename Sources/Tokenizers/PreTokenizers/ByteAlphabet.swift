internal import Tensors

/// GPT-2's names for the 256 bytes: printable Latin-1 characters stand for themselves, the others for U+0100 and up.
enum ByteAlphabet {
  /// The scalar that stands for each byte.
  static let scalars: [UInt32] = {
    var next: UInt32 = 0x100
    return (0..<256).map { byte in
      if (0x21...0x7E).contains(byte) || (0xA1...0xAC).contains(byte) || byte >= 0xAE { return UInt32(byte) }
      defer { next += 1 }
      return next
    }
  }()

  /// The byte that each scalar stands for, or -1.
  private static let bytes: [Int16] = {
    var bytes = [Int16](repeating: -1, count: 0x180)
    for (byte, scalar) in scalars.enumerated() { bytes[Int(scalar)] = Int16(byte) }
    return bytes
  }()

  /// The text with every byte written as its scalar.
  static func encode(_ buffer: inout PieceBuffer) throws(BessemerError) {
    try buffer.rebuild { text, range, _, out in
      for index in range { UTF8Text.append(scalars[Int(text[index])], to: &out) }
    }
  }

  /// The bytes that a token stands for, or nil if it holds a scalar that is not of the alphabet.
  static func decode(_ token: [UInt8]) -> [UInt8]? {
    var out: [UInt8] = []
    return decode(token[...], into: &out) ? out : nil
  }

  /// Appends the bytes that a token stands for. If it holds a scalar that is not of the alphabet, the token itself is
  /// appended and the result is false.
  @discardableResult
  static func decode(_ token: ArraySlice<UInt8>, into out: inout [UInt8]) -> Bool {
    let mark = out.count
    let bytes = bytes
    var position = token.startIndex
    while position < token.endIndex {
      // Scalars of the alphabet take one byte, or two that start with 0xC2 to 0xC5.
      var scalar = Int(token[position])
      if scalar >= 0x80 {
        position += 1
        guard scalar < 0xC6, position < token.endIndex else { return giveUp(token, mark, &out) }
        scalar = (scalar & 0x1F) << 6 | Int(token[position] & 0x3F)
      }
      position += 1
      guard scalar < bytes.count, bytes[scalar] >= 0 else { return giveUp(token, mark, &out) }
      out.append(UInt8(truncatingIfNeeded: bytes[scalar]))
    }
    return true
  }

  private static func giveUp(_ token: ArraySlice<UInt8>, _ mark: Int, _ out: inout [UInt8]) -> Bool {
    out.removeLast(out.count - mark)
    out += token
    return false
  }
}
