/// Sums of float32 in the order of PyTorch's CPU kernel: four chains side by side, each of sixteen or more steps whose
/// sums are added up in levels. Source: PyTorch 2.15, SumKernel.cpp.
package enum CascadeSum {
  private static let chains = 4
  private static let levels = 4
  private static let width = 8

  /// The sum of numbers that lie one after the other: eight at a time, what is left, then the eight.
  package static func sum(_ row: UnsafeBufferPointer<Float>) -> Float {
    guard row.count >= width else { return interleaved(row.count) { row[$0] } }
    let vectors = row.count / width
    let lanes: SIMD8<Float> = interleaved(vectors) {
      UnsafeRawPointer(row.baseAddress! + $0 * width).loadUnaligned(as: SIMD8<Float>.self)
    }
    var sum: Float = 0
    for index in vectors * width..<row.count { sum += row[index] }
    for lane in 0..<width { sum += lanes[lane] }
    return sum
  }

  private static func interleaved<T: CascadeElement>(_ count: Int, _ value: (Int) -> T) -> T {
    guard count > 0 else { return T() }
    var sums = chained(count / chains) { step, chain in value(step * chains + chain) }
    for index in count / chains * chains..<count { sums[0] += value(index) }
    for chain in 1..<chains { sums[0] += sums[chain] }
    return sums[0]
  }

  /// The sums of the chains, in the first elements.
  private static func chained<T: CascadeElement>(
    _ steps: Int, _ value: (_ step: Int, _ chain: Int) -> T
  ) -> InlineArray<16, T> {
    // The exponent of the least power of two that is not below the number of steps.
    let logarithm = steps > 1 ? Int.bitWidth - (steps - 1).leadingZeroBitCount : 0
    let power = max(4, logarithm / levels)
    let span = 1 << power
    var sums = InlineArray<16, T>(repeating: T())
    var step = 0
    while step + span <= steps {
      for _ in 0..<span {
        for chain in 0..<chains { sums[chain] += value(step, chain) }
        step += 1
      }
      for level in 1..<levels {
        for chain in 0..<chains {
          sums[level * chains + chain] += sums[(level - 1) * chains + chain]
          sums[(level - 1) * chains + chain] = T()
        }
        if step & ((span - 1) << (level * power)) != 0 { break }
      }
    }
    while step < steps {
      for chain in 0..<chains { sums[chain] += value(step, chain) }
      step += 1
    }
    for level in 1..<levels { for chain in 0..<chains { sums[chain] += sums[level * chains + chain] } }
    return sums
  }
}

/// What a chain adds up: a number, or several side by side.
private protocol CascadeElement {
  init()
  static func += (sum: inout Self, value: Self)
}
extension Float: CascadeElement {}
extension SIMD8<Float>: CascadeElement {}
