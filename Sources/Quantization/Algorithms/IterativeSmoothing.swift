import Glibc

/// `largest^alpha / weight^(1 - alpha)` for each channel, at least `least`.
///
/// SmoothQuant (Xiao et al. 2023) at norms; msModelSlim's `iter_smooth` at all subgraphs, one kind after the other.
public struct IterativeSmoothing: SmoothingAlgorithm {
  public let alpha: Float
  public let least: Float

  public init(alpha: Float = 0.9, least: Float = 1e-5) {
    self.alpha = alpha
    self.least = least
  }

  public var needsTokens: Bool { false }

  public func scales(_ input: SmoothingInput, _ threads: KernelThreads) throws -> SmoothingScales? {
    // Beside norms msModelSlim takes the greatest weight, not the largest magnitude.
    let weights =
      input.kind == .normLinear
      ? try input.weightMagnitudes
      : try input.weights[0].columnMaxima.map { max($0, 1e-5) }.rounded(to: input.dtype)
    let scales = try zip(input.largest, weights).map { max(powf($0, alpha) / powf($1, 1 - alpha), least) }
      .rounded(to: input.dtype)
    guard let heads = input.heads else { return SmoothingScales(scales) }
    return try SharedHeads.mean(scales, heads, input.dtype)
  }
}
