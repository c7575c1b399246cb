import Glibc
import IR
import Quantization
import Tensors

/// The weights of attention before they are divided by their sum, and one by that sum, as PyTorch's CPU kernel makes
/// them for values of 16 bits: `scores` [B,H,S,T] in float32, hidden ones lower than any other.
///
/// Queries are taken by blocks, which see no keys beyond the block where attention is causal; of a block's keys every
/// 16 take a fast exponential, good to three digits, the rest the exact one. Weights are rounded to `to`, their sum is
/// not. Source: PyTorch 2.15, FlashAttentionKernel.cpp and `fexp_u20`, after Malossi et al. 2015.
struct AttentionWeights: Op {
  static let schema = OpSchema("calibration.attention_weights", operands: ["scores"])
  let to: DType

  /// Keys that are looked at together.
  private static let keyBlock = 512
  private static let lanes = 16
  /// What scores are hidden by is at least the lowest float16.
  private static let hidden: Float = -0x1p15

  func infer(_ operands: [TensorType]) throws(OpError) -> [TensorType] {
    let scores = operands[0]
    try require(
      scores.rank == 4 && scores.dtype == .float32, "attention_weights_c1", "scores must be [B,H,S,T] in float32")
    return [scores, TensorType(.float32, scores.dims.dropLast() + [.known(1)])]
  }

  func evaluate(_ operands: [Tensor]) throws -> [Tensor] {
    let scores = operands[0]
    let (queries, keys) = (scores.shape[2], scores.shape[3])
    var values = scores.floats
    let isCausal = queries == keys && AttentionWeights.isCausal(values.prefix(queries * keys), keys)
    let queryBlock = queries >= 768 ? 256 : queries >= 192 ? 64 : 32
    var shares: [Float] = []
    values.withUnsafeMutableBufferPointer { values in
      for row in 0..<(keys == 0 ? 0 : values.count / keys) {
        let blockEnd = (row % queries / queryBlock + 1) * queryBlock
        let seen = isCausal ? min(blockEnd, keys) : keys
        let own = UnsafeMutableBufferPointer(rebasing: values[row * keys..<(row + 1) * keys])
        shares.append(1 / AttentionWeights.weigh(own, seen: seen, to))
      }
    }
    return [Tensor(values, shape: scores.shape), Tensor(shares, shape: scores.shape.dropLast() + [1])]
  }

  /// Whether each query sees the keys up to its own, and no others.
  private static func isCausal(_ scores: ArraySlice<Float>, _ keys: Int) -> Bool {
    scores.indices.allSatisfy { (scores[$0] < hidden) == ($0 % keys > $0 / keys) }
  }

  /// Turns the scores of a query into weights and returns their sum. Weights of blocks before a greater score came are
  /// rounded by the greatest score so far.
  private static func weigh(_ row: UnsafeMutableBufferPointer<Float>, seen: Int, _ dtype: DType) -> Float {
    var (greatest, sum) = (-Float.infinity, Float(0))
    var factors: [(end: Int, greatest: Float)] = []
    for start in stride(from: 0, to: seen, by: keyBlock) {
      let end = min(start + keyBlock, seen)
      let next = max(greatest, row[start..<end].max() ?? greatest)
      let fast = start + (end - start) / lanes * lanes
      var part: Float = 0
      if next > -.infinity {
        for index in start..<end {
          let power = index < fast ? fastExponential(row[index] - next) : expf(row[index] - next)
          part += power
          row[index] = power.rounded(to: dtype)
        }
      } else {
        for index in start..<end { row[index] = 0 }
      }
      sum = part + (greatest > -.infinity ? expf(greatest - next) * sum : 0)
      greatest = next
      factors.append((end, next))
    }
    for index in seen..<row.count { row[index] = 0 }
    for (block, factor) in factors.enumerated() where factor.greatest < greatest {
      for index in block * keyBlock..<factor.end { row[index] *= expf(factor.greatest - greatest) }
    }
    return sum
  }

  /// `2^(x / log 2)` by a cubic polynomial between powers of two, for x of at most 0.
  private static func fastExponential(_ x: Float) -> Float {
    guard x >= Float(bitPattern: 0xC2AE_AC50) else { return 0 }
    let power = x * Float(bitPattern: 0x3FB8_AA3B)
    let part = power - power.rounded(.down)
    // Products are exact in double precision, so that each line rounds once, as fused operations do.
    func fused(_ a: Float, _ b: Float, _ c: Float) -> Float { Float(Double(a) * Double(b) + Double(c)) }
    let cubic = fused(
      part, fused(part, fused(part, -0.079204240219773236, -0.22433836478672356), 0.30354260500649682),
      0.00010703434948458272)
    return Float(bitPattern: UInt32(fused(0x1p23, power - cubic, 0x1p23 * 127)))
  }
}
