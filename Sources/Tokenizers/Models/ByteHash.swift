/// A fast hash of bytes with a seed drawn at start-up, so that no file can be made to collide.
enum ByteHash {
  private static let seed = UInt64.random(in: .min ... .max) | 1
  private static let prime: UInt64 = 0x9E37_79B9_7F4A_7C15

  static var currentSeed: UInt64 { seed }

  @inline(__always)
  static func mix(_ a: UInt64, _ b: UInt64) -> UInt64 {
    let product = a.multipliedFullWidth(by: b)
    return product.high ^ product.low
  }

  @inline(__always)
  static func hash(_ bytes: Span<UInt8>, _ range: Range<Int>, _ seed: UInt64) -> UInt64 {
    var hash = seed
    var position = range.lowerBound
    while position + 8 <= range.upperBound {
      var word: UInt64 = 0
      for offset in 0..<8 { word |= UInt64(bytes[position + offset]) << UInt64(8 * offset) }
      hash = mix(hash ^ word, prime ^ seed)
      position += 8
    }
    var word = UInt64(range.count) << 56
    var shift: UInt64 = 0
    while position < range.upperBound {
      word ^= UInt64(bytes[position]) << shift
      shift += 8
      position += 1
    }
    return mix(hash ^ word, prime ^ seed)
  }
}
