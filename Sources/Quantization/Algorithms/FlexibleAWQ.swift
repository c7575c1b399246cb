import Glibc
import Tensors

/// `mean^alpha` for each channel, alpha of 0, 0.05, ... 1 by what is left of the product when weights are stored by the
/// scheme and inputs have 8 bits.
///
/// Source: msModelSlim's `flex_awq_ssz`.
public struct FlexibleAWQ: SmoothingAlgorithm {
  public let alpha: Double?
  public let scheme: any LinearScheme
  public let method: WeightMethod

  public init(alpha: Double?, scheme: any LinearScheme, method: WeightMethod) {
    self.alpha = alpha
    self.scheme = scheme
    self.method = method
  }

  public var needsTokens: Bool { alpha == nil }

  public func scales(_ input: SmoothingInput, _ threads: KernelThreads) throws -> SmoothingScales? {
    let alpha = try self.alpha ?? search(input, threads)
    let dtype = input.dtype
    let scales = try RoundedPower.of(mean(input), alpha, dtype).map { max($0, 1e-5) }
      .rounded(to: dtype)
    guard let heads = input.heads else { return SmoothingScales(scales) }
    return SharedHeads.reduce(scales, heads) { $0.max() ?? 1 }
  }

  /// Mean magnitudes, those of float32 over all tokens at once as msModelSlim takes them.
  private func mean(_ input: SmoothingInput) throws -> [Float] {
    guard input.dtype == .float32, input.tokens.rows > 0 else { return try input.mean.rounded(to: input.dtype) }
    return input.tokens.meanMagnitudes
  }

  private func search(_ input: SmoothingInput, _ threads: KernelThreads) throws -> Double {
    // Of four and more layers, as of attention with a further projection, two are looked at.
    let weights = input.weights.count > 3 ? Array(input.weights.prefix(2)) : input.weights
    let weight = Matrix(
      rows: weights.reduce(0) { $0 + $1.rows }, columns: weights[0].columns, values: weights.flatMap(\.values))
    let dtype = input.dtype
    let exact = try input.tokens.times(transposed: weight, dtype, threads)
    let size = exact.rootMeanSquare(dtype)
    let largest = input.tokens.columnMagnitudes
    var best: (alpha: Double, error: Double) = (0, .infinity)
    for step in SmoothingTrial.steps {
      let scales = RoundedPower.of(largest, step, dtype)
      let scaled = try weight.scalingColumns(scales).rounded(to: dtype)
      let rounded = try RoundTrip.weight(scaled, dtype, scheme, method).rounded(to: dtype)
      let divided = try input.tokens.dividingColumns(by: scales).rounded(to: dtype)
      // The product itself is in float32.
      let made = try RoundTrip.inputs(divided, scheme, dtype).times(transposed: rounded, threads)
      let gap = made.minus(exact).rootMeanSquare()
      let error = Double(size == 0 ? gap : gap / size)
      if error <= best.error { best = (step, error) }
    }
    return best.alpha
  }
}
