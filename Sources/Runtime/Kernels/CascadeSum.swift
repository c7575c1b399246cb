/// Sums of float32 in the order in which PyTorch's CPU kernel takes those along the last dimension: vectors of eight,
/// four of them side by side, sums of sixteen or more steps added up in levels. Source: PyTorch 2.15, SumKernel.cpp.
enum CascadeSum {
  private typealias Lanes = SIMD8<Float>
  private static let width = 8
  private static let chains = 4
  private static let levels = 4

  static func sum(_ row: UnsafeBufferPointer<Float>) -> Float {
    let vectors = row.count / width
    let lanes = total(of: row, vectors: vectors)
    var sum: Float = 0
    for index in vectors * width..<row.count { sum += row[index] }
    for lane in 0..<width { sum += lanes[lane] }
    return sum
  }

  private static func total(of row: UnsafeBufferPointer<Float>, vectors count: Int) -> Lanes {
    guard count > 0 else { return Lanes() }
    func vector(_ index: Int) -> Lanes {
      UnsafeRawPointer(row.baseAddress! + index * width).loadUnaligned(as: Lanes.self)
    }
    let steps = count / chains
    // The least power of two that is not below the number of steps.
    let logarithm = steps > 1 ? Int.bitWidth - (steps - 1).leadingZeroBitCount : 0
    let power = max(4, logarithm / levels)
    let span = 1 << power
    var sums = [Lanes](repeating: Lanes(), count: levels * chains)
    var step = 0
    while step + span <= steps {
      for _ in 0..<span {
        for chain in 0..<chains { sums[chain] += vector(step * chains + chain) }
        step += 1
      }
      for level in 1..<levels {
        for chain in 0..<chains {
          sums[level * chains + chain] += sums[(level - 1) * chains + chain]
          sums[(level - 1) * chains + chain] = Lanes()
        }
        if step & ((span - 1) << (level * power)) != 0 { break }
      }
    }
    while step < steps {
      for chain in 0..<chains { sums[chain] += vector(step * chains + chain) }
      step += 1
    }
    for level in 1..<levels { for chain in 0..<chains { sums[chain] += sums[level * chains + chain] } }
    for index in steps * chains..<count { sums[0] += vector(index) }
    for chain in 1..<chains { sums[0] += sums[chain] }
    return sums[0]
  }
}
