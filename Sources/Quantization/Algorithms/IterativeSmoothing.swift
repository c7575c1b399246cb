import Glibc
import Tensors

/// `largest^alpha / weight^(1 - alpha)` for each channel, at least `least`.
///
/// SmoothQuant (Xiao et al. 2023) at norms; msModelSlim's `iter_smooth` at all subgraphs, one kind after the other.
public struct IterativeSmoothing: SmoothingAlgorithm {
  public let alpha: Float
  public let least: Float
  /// Whether weights count by their magnitudes at all subgraphs, as in recipes of `modelslim_v0`.
  public let usesMagnitudes: Bool

  public init(alpha: Float = 0.9, least: Float = 1e-5, usesMagnitudes: Bool = false) {
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
    let scales: [Float]
    if usesMagnitudes {
      scales = try zip(input.largest, weights).map {
        max(RoundedPower.of($0, alpha, input.dtype) / RoundedPower.of($1, 1 - alpha, input.dtype), least)
      }.rounded(to: input.dtype)
    } else {
      scales = try zip(input.largest, weights).map { max(powf($0, alpha) / powf($1, 1 - alpha), least) }
        .rounded(to: input.dtype)
    }
    guard let heads = input.heads else { return SmoothingScales(scales) }
    return try SharedHeads.mean(scales, heads, input.dtype)
  }
}

/// Powers as PyTorch takes them of numbers in a type of 16 bits: the exponent is rounded to it too.
enum RoundedPower {
  static func of(_ value: Float, _ exponent: Float, _ dtype: DType) -> Float {
    WeightCodes.round(powf(value, WeightCodes.round(exponent, to: dtype)), to: dtype)
  }

  /// Powers of all elements of a vector. PyTorch takes reciprocal roots in float32 where it computes 64 elements at a
  /// time, and in two roundings of the rest.
  static func of(all values: [Float], _ exponent: Float, _ dtype: DType) -> [Float] {
    let whole = dtype.bits == 16 && exponent == -0.5 ? values.count / 64 * 64 : values.count
    return values.enumerated().map { index, value in
      guard index >= whole else { return of(value, exponent, dtype) }
      return WeightCodes.round(1 / WeightCodes.round(value.squareRoot(), to: dtype), to: dtype)
    }
  }
}
