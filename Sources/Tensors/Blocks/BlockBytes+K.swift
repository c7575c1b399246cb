/// Blocks of 256 numbers in 8 or 16 parts, each with an integer scale.
extension BlockBytes {
  func decodeQ2K(to y: UnsafeMutablePointer<Float>) {
    let (d, dmin) = (half(at: 80), half(at: 82))
    for part in 0..<16 {
      let (scale, least) = (d * Float(self[part] & 15), dmin * Float(self[part] >> 4))
      for i in (16 * part)..<(16 * part + 16) { y[i] = scale * Float(quarter(i, at: 16)) - least }
    }
  }

  func decodeQ3K(to y: UnsafeMutablePointer<Float>) {
    let d = half(at: 108)
    for part in 0..<16 {
      let low = self[96 + part & 7] >> (part < 8 ? 0 : 4) & 15
      let high = self[104 + part & 3] >> UInt8(part / 4 * 2) & 3
      let scale = d * Float(Int(low) + Int(high) << 4 - 32)
      for i in (16 * part)..<(16 * part + 16) {
        let bit = self[i & 31] >> UInt8(i / 32) & 1
        y[i] = scale * Float(Int(quarter(i, at: 32)) - (bit == 0 ? 4 : 0))
      }
    }
  }

  func decodeQ4K(to y: UnsafeMutablePointer<Float>) {
    let (d, dmin) = (half(at: 0), half(at: 2))
    for part in 0..<8 {
      let (scale, least) = sixBitPair(part)
      let (dl, ml) = (d * Float(scale), dmin * Float(least))
      for i in 0..<32 { y[32 * part + i] = dl * Float(halfByte(part, i, at: 16)) - ml }
    }
  }

  func decodeQ5K(to y: UnsafeMutablePointer<Float>) {
    let (d, dmin) = (half(at: 0), half(at: 2))
    for part in 0..<8 {
      let (scale, least) = sixBitPair(part)
      let (dl, ml) = (d * Float(scale), dmin * Float(least))
      for i in 0..<32 {
        let bit = self[16 + i] >> UInt8(part) & 1
        y[32 * part + i] = dl * Float(halfByte(part, i, at: 48) + bit << 4) - ml
      }
    }
  }

  func decodeQ6K(to y: UnsafeMutablePointer<Float>) {
    let d = half(at: 208)
    for part in 0..<16 {
      let scale = d * Float(integer(Int8.self, at: 192 + part))
      for i in (16 * part)..<(16 * part + 16) {
        let low = self[i / 128 * 64 + i & 63] >> (i & 64 == 0 ? 0 : 4) & 15
        y[i] = scale * Float(Int(low) + Int(quarter(i, at: 128)) << 4 - 32)
      }
    }
  }

  func decodeQ8K(to y: UnsafeMutablePointer<Float>) {
    let d = Float(bitPattern: integer(UInt32.self, at: 0))
    for i in 0..<256 { y[i] = d * Float(integer(Int8.self, at: 4 + i)) }
  }

  /// Scale and minimum of a part, 6 bits each, in the 12 bytes at 4: those of parts 0 to 3 in the low bits of 8 bytes,
  /// those of parts 4 to 7 in halves of the last 4 bytes and the high bits of the first 8.
  private func sixBitPair(_ part: Int) -> (scale: UInt8, least: UInt8) {
    guard part >= 4 else { return (self[4 + part] & 63, self[8 + part] & 63) }
    let both = self[8 + part]
    return (both & 15 | (self[part] >> 6) << 4, both >> 4 | (self[4 + part] >> 6) << 4)
  }

  /// Number `index` of a part of 32 with 4 bits each: two parts share 32 bytes.
  private func halfByte(_ part: Int, _ index: Int, at offset: Int) -> UInt8 {
    self[offset + part / 2 * 32 + index] >> (part & 1 == 0 ? 0 : 4) & 15
  }
}
