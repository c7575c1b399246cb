/// Blocks with one scale, and blocks whose codes stand for the values of a short table.
extension BlockBytes {
  /// One bit a number: plus or minus the scale.
  func decodeQ10(to y: UnsafeMutablePointer<Float>) {
    let d = half(at: 0)
    for i in 0..<128 { y[i] = self[2 + i / 8] >> UInt8(i & 7) & 1 == 0 ? -d : d }
  }

  func decodeQ20(to y: UnsafeMutablePointer<Float>) {
    let d = half(at: 0)
    for i in 0..<64 { y[i] = d * Float(Int(self[2 + i / 4] >> UInt8(i & 3 * 2) & 3) - 1) }
  }

  func decodeQ40(to y: UnsafeMutablePointer<Float>) {
    let d = half(at: 0)
    for i in 0..<32 { y[i] = d * Float(Int(nibble(i, at: 2)) - 8) }
  }

  func decodeQ41(to y: UnsafeMutablePointer<Float>) {
    let (d, m) = (half(at: 0), half(at: 2))
    for i in 0..<32 { y[i] = d * Float(nibble(i, at: 4)) + m }
  }

  func decodeQ50(to y: UnsafeMutablePointer<Float>) {
    let (d, high) = (half(at: 0), integer(UInt32.self, at: 2))
    for i in 0..<32 { y[i] = d * Float(Int(nibble(i, at: 6)) + Int(high >> UInt32(i) & 1) << 4 - 16) }
  }

  func decodeQ51(to y: UnsafeMutablePointer<Float>) {
    let (d, m, high) = (half(at: 0), half(at: 2), integer(UInt32.self, at: 4))
    for i in 0..<32 { y[i] = d * Float(Int(nibble(i, at: 8)) + Int(high >> UInt32(i) & 1) << 4) + m }
  }

  func decodeQ80(to y: UnsafeMutablePointer<Float>) {
    let d = half(at: 0)
    for i in 0..<32 { y[i] = Float(integer(Int8.self, at: 2 + i)) * d }
  }

  func decodeIQ4NL(to y: UnsafeMutablePointer<Float>) {
    let d = half(at: 0)
    for i in 0..<32 { y[i] = d * BlockBytes.unevenValue(nibble(i, at: 2)) }
  }

  /// Blocks of 256 in eighths, each with a 6-bit scale.
  func decodeIQ4XS(to y: UnsafeMutablePointer<Float>) {
    let (d, high) = (half(at: 0), integer(UInt16.self, at: 2))
    for j in 0..<8 {
      let low = self[4 + j / 2] >> UInt8(j & 1 * 4) & 15
      let dl = d * Float(Int(low) + Int(high >> UInt16(2 * j) & 3) << 4 - 32)
      for i in 0..<32 { y[32 * j + i] = dl * BlockBytes.unevenValue(nibble(i, at: 8 + 16 * j)) }
    }
  }

  /// OCP MXFP4: a power of two, and 4-bit floats.
  func decodeMXFP4(to y: UnsafeMutablePointer<Float>) {
    let e = UInt32(self[0])
    // Half of 2^(e - 127), as values of the table are doubled.
    let d = Float(bitPattern: e < 2 ? 0x0020_0000 << e : (e - 1) << 23)
    for i in 0..<32 { y[i] = d * BlockBytes.doubledE2M1(nibble(i, at: 1)) }
  }

  /// Four scales in E4M3 without sign, each for 16 4-bit floats.
  func decodeNVFP4(to y: UnsafeMutablePointer<Float>) {
    for j in 0..<4 {
      let d = BlockBytes.halvedE4M3(self[j])
      for i in 0..<16 {
        let code = self[4 + 8 * j + i & 7] >> (i < 8 ? 0 : 4) & 15
        y[16 * j + i] = d * BlockBytes.doubledE2M1(code)
      }
    }
  }

  /// Five digits in base 3 a byte, as fixed-point fractions of 256: 160 numbers in 32 bytes, 80 in 16, 16 in 4.
  func decodeTQ10(to y: UnsafeMutablePointer<Float>) {
    let d = half(at: 52)
    for i in 0..<256 {
      let (place, digit) =
        i < 160 ? (i % 32, i / 32) : i < 240 ? (32 + i % 16, (i - 160) / 16) : (48 + i % 4, (i - 240) / 4)
      let power: UInt8 = [1, 3, 9, 27, 81][digit]
      y[i] = d * Float(Int(UInt16(self[place] &* power) * 3 / 256) - 1)
    }
  }

  func decodeTQ20(to y: UnsafeMutablePointer<Float>) {
    let d = half(at: 64)
    for i in 0..<256 { y[i] = d * Float(Int(quarter(i, at: 0)) - 1) }
  }

  /// Number `index` of 256 with 2 bits each at `offset`: 128 share 32 bytes.
  func quarter(_ index: Int, at offset: Int) -> UInt8 {
    self[offset + index / 128 * 32 + index & 31] >> UInt8(index / 32 & 3 * 2) & 3
  }

  private static func unevenValue(_ code: UInt8) -> Float {
    let values: InlineArray<16, Float> = [
      -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
    ]
    return values[Int(code)]
  }

  /// Twice the value of a 4-bit float.
  private static func doubledE2M1(_ code: UInt8) -> Float {
    let values: InlineArray<16, Float> = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12]
    return values[Int(code)]
  }

  /// Half the value of a scale, whose highest bit does not count; all ones are zero.
  private static func halvedE4M3(_ code: UInt8) -> Float {
    guard code != 0x7F else { return 0 }
    let (exponent, fraction) = (Int(code >> 3 & 15), Float(code & 7))
    return exponent == 0
      ? fraction * 0x1p-10 : (1 + fraction / 8) * Float(sign: .plus, exponent: exponent - 8, significand: 1)
  }
}
