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

  /// The byte that a scalar stands for, if it is of the alphabet.
  static func byte(of scalar: UInt32) -> UInt8? {
    guard scalar < 0x180 else { return nil }
    let byte = bytes[Int(scalar)]
    return byte < 0 ? nil : UInt8(byte)
  }

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
  static func decode(_ token: Span<UInt8>) -> [UInt8]? {
    var out: [UInt8] = []
    out.reserveCapacity(token.count)
    var position = 0
    while position < token.count {
      let (scalar, length) = UTF8Text.scalar(token, position)
      guard let byte = byte(of: scalar) else { return nil }
      out.append(byte)
      position += length
    }
    return out
  }
}
