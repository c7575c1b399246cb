import Tensors

/// The orthogonal matrix `diag(signs) · Hᵀ / √n` that spreads outliers over n channels, and its transpose, applied in
/// few steps.
///
/// H is Sylvester's for powers of two; for other sizes a ``HadamardMatrix`` times Sylvester's for what is left. The
/// signs are the lowest bits of a Mersenne twister's numbers. Source: QuaRot (Ashkboos et al. 2024) as msModelSlim
/// has it.
public struct HadamardRotation: ChannelRotation {
  public let size: Int
  private let signs: [Float]
  private let factor: Float
  /// Nil for powers of two.
  private let base: HadamardMatrix?

  public static let seed: UInt32 = 1234

  /// Nil for a size for which no matrix is known.
  public init?(size: Int, seed: UInt32 = HadamardRotation.seed) {
    guard size > 0 else { return nil }
    base = size & (size - 1) == 0 ? nil : HadamardMatrix(dividing: size)
    guard size & (size - 1) == 0 || base != nil else { return nil }
    self.size = size
    var twister = MersenneTwister(seed: seed)
    signs = (0..<size).map { _ in twister.next() & 1 == 0 ? -1 : 1 }
    factor = 1 / Float(size).squareRoot()
  }

  public func rotate(_ values: inout [Float]) {
    values.withUnsafeMutableBufferPointer { values in
      for start in stride(from: 0, to: values.count, by: size) {
        let run = UnsafeMutableBufferPointer(rebasing: values[start..<start + size])
        for index in run.indices { run[index] *= signs[index] }
        transform(run)
        for index in run.indices { run[index] *= factor }
      }
    }
  }

  private func transform(_ run: UnsafeMutableBufferPointer<Float>) {
    let power = size / (base?.order ?? 1)
    var width = 1
    while width < power {
      for start in stride(from: 0, to: size, by: 2 * width) {
        for index in start..<start + width {
          let (a, b) = (run[index], run[index + width])
          run[index] = a + b
          run[index + width] = a - b
        }
      }
      width *= 2
    }
    guard let base else { return }
    // The matrix over elements that are `power` apart.
    var column = [Float](repeating: 0, count: base.order)
    for offset in 0..<power {
      for index in 0..<base.order { column[index] = run[index * power + offset] }
      for row in 0..<base.order {
        var sum: Float = 0
        for index in 0..<base.order { sum += base.values[row * base.order + index] * column[index] }
        run[row * power + offset] = sum
      }
    }
  }
}

/// MT19937, the generator behind PyTorch's and NumPy's integers. Source: Matsumoto and Nishimura 1998.
struct MersenneTwister {
  private var state = [UInt32](repeating: 0, count: 624)
  private var index = 624

  init(seed: UInt32) {
    state[0] = seed
    for k in 1..<624 { state[k] = 1_812_433_253 &* (state[k - 1] ^ (state[k - 1] >> 30)) &+ UInt32(k) }
  }

  mutating func next() -> UInt32 {
    if index == 624 {
      for k in 0..<624 {
        let y = (state[k] & 0x8000_0000) | (state[(k + 1) % 624] & 0x7FFF_FFFF)
        state[k] = state[(k + 397) % 624] ^ (y >> 1) ^ (y & 1 == 0 ? 0 : 0x9908_B0DF)
      }
      index = 0
    }
    var y = state[index]
    index += 1
    y ^= y >> 11
    y ^= (y << 7) & 0x9D2C_5680
    y ^= (y << 15) & 0xEFC6_0000
    return y ^ (y >> 18)
  }
}
