import Tensors

/// `largest^alpha / weight^(1 - alpha)` for each channel, at least `least`.
///
/// SmoothQuant (Xiao et al. 2023) at norms; msModelSlim's `iter_smooth` at all subgraphs, one kind after the other.
public struct IterativeSmoothing: SmoothingAlgorithm {
  public let alpha: Double
  public let least: Float
  /// Whether weights count by their magnitudes at all subgraphs, as in recipes of `modelslim_v0`.
  public let usesMagnitudes: Bool

  public init(alpha: Double = 0.9, least: Float = 1e-5, usesMagnitudes: Bool = false) {
    self.alpha = alpha
    self.least = least
    self.usesMagnitudes = usesMagnitudes
  }

  public var needsTokens: Bool { false }

  public func scales(_ input: SmoothingInput, _ threads: KernelThreads) throws -> SmoothingScales? {
    // Beside norms msModelSlim takes the greatest weight, not the largest magnitude.
    let weights =
      input.kind == .normLinear || usesMagnitudes
      ? try input.weightMagnitudes
      : try input.weights[0].columnMaxima.map { max($0, 1e-5) }.rounded(to: input.dtype)
    // Of 16 bits the tool's newer form takes powers in float32.
    let dtype = usesMagnitudes ? input.dtype : .float32
    let (above, below) = (
      RoundedPower.of(input.largest, alpha, dtype), RoundedPower.of(weights, 1 - alpha, dtype)
    )
    let scales = try zip(above, below).map { max($0 / $1, least) }.rounded(to: input.dtype)
    guard let heads = input.heads else { return SmoothingScales(scales) }
    return try SharedHeads.mean(scales, heads, input.dtype)
  }
}
