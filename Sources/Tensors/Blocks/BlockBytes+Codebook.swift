/// Blocks of 256 numbers whose codes stand for 4 or 8 magnitudes at a time, with signs and scales beside them.
extension BlockBytes {
  func decodeIQ1S(to y: UnsafeMutablePointer<Float>) {
    let (d, book) = (half(at: 0), Codebook.iq1)
    for j in 0..<8 {
      let bits = integer(UInt16.self, at: 34 + 2 * j)
      let scale = d * Float(2 * (bits >> 12 & 7) + 1)
      let delta: Float = bits >> 15 == 0 ? 0.125 : -0.125
      for k in 0..<4 {
        let code = Int(self[2 + 4 * j + k]) | Int(bits >> UInt16(3 * k) & 7) << 8
        for i in 0..<8 { y[32 * j + 8 * k + i] = scale * (book[code, i] + delta) }
      }
    }
  }

  /// As ``decodeIQ1S(to:)``, with a scale for each 16 numbers; the block's scale lies in what these leave.
  func decodeIQ1M(to y: UnsafeMutablePointer<Float>) {
    var (bits, book): (UInt16, Codebook) = (0, .iq1)
    for k in 0..<4 { bits |= (integer(UInt16.self, at: 48 + 2 * k) >> 12) << UInt16(4 * k) }
    let d = Float(Float16(bitPattern: bits))
    for n in 0..<32 {
      let scales = integer(UInt16.self, at: 48 + n / 8 * 2)
      let scale = d * Float(2 * (scales >> UInt16(n / 2 & 3 * 3) & 7) + 1)
      let high = self[32 + n / 2] >> (n & 1 == 0 ? 0 : 4)
      let delta: Float = high & 8 == 0 ? 0.125 : -0.125
      let code = Int(self[n]) | Int(high & 7) << 8
      for i in 0..<8 { y[8 * n + i] = scale * (book[code, i] + delta) }
    }
  }

  func decodeIQ2XXS(to y: UnsafeMutablePointer<Float>) {
    let (d, book) = (half(at: 0), Codebook.iq2xxs)
    for j in 0..<8 {
      let bits = integer(UInt32.self, at: 6 + 8 * j)
      let scale = d * (0.5 + Float(bits >> 28)) * 0.25
      for k in 0..<4 {
        let signs = BlockBytes.signs(UInt8(bits >> UInt32(7 * k) & 127))
        write(book, Int(self[2 + 8 * j + k]), signs, scale, to: y + 32 * j + 8 * k)
      }
    }
  }

  func decodeIQ2XS(to y: UnsafeMutablePointer<Float>) {
    let (d, book) = (half(at: 0), Codebook.iq2xs)
    for n in 0..<32 {
      let bits = integer(UInt16.self, at: 2 + 2 * n)
      let scale = d * (0.5 + Float(sixteenthScale(n / 2, at: 66))) * 0.25
      write(book, Int(bits & 511), BlockBytes.signs(UInt8(bits >> 9)), scale, to: y + 8 * n)
    }
  }

  func decodeIQ2S(to y: UnsafeMutablePointer<Float>) {
    let (d, book) = (half(at: 0), Codebook.iq2s)
    for n in 0..<32 {
      let code = Int(self[2 + n]) | Int(self[66 + n / 4] >> UInt8(n & 3 * 2) & 3) << 8
      let scale = d * (0.5 + Float(sixteenthScale(n / 2, at: 74))) * 0.25
      write(book, code, self[34 + n], scale, to: y + 8 * n)
    }
  }

  func decodeIQ3XXS(to y: UnsafeMutablePointer<Float>) {
    let (d, book) = (half(at: 0), Codebook.iq3xxs)
    for n in 0..<64 {
      let bits = integer(UInt32.self, at: 66 + n / 8 * 4)
      let signs = BlockBytes.signs(UInt8(bits >> UInt32(n / 2 & 3 * 7) & 127))
      let scale = d * (0.5 + Float(bits >> 28)) * 0.5
      write(book, Int(self[2 + n]), n & 1 == 0 ? signs : signs >> 4, scale, to: y + 4 * n)
    }
  }

  func decodeIQ3S(to y: UnsafeMutablePointer<Float>) {
    let (d, book) = (half(at: 0), Codebook.iq3s)
    for n in 0..<64 {
      let code = Int(self[2 + n]) | Int(self[66 + n / 8] >> UInt8(n & 7) & 1) << 8
      let signs = self[74 + n / 2] >> (n & 1 == 0 ? 0 : 4)
      let scale = d * Float(1 + 2 * sixteenthScale(n / 8, at: 106))
      write(book, code, signs, scale, to: y + 4 * n)
    }
  }

  /// Scale `index`: 4 bits, two in a byte.
  private func sixteenthScale(_ index: Int, at offset: Int) -> UInt8 {
    self[offset + index / 2] >> (index & 1 == 0 ? 0 : 4) & 15
  }

  /// Writes the numbers of a code; bit i of `signs` makes number i negative.
  private func write(
    _ book: Codebook, _ code: Int, _ signs: UInt8, _ scale: Float, to y: UnsafeMutablePointer<Float>
  ) {
    for i in 0..<book.width { y[i] = scale * book[code, i] * (signs >> UInt8(i) & 1 == 0 ? 1 : -1) }
  }

  /// Eight signs from seven: their number is even.
  private static func signs(_ code: UInt8) -> UInt8 { code | UInt8(code.nonzeroBitCount & 1) << 7 }
}
