import Tensors

/// `largest^alpha / weight^beta` for each channel, alpha and beta found by trying: steps of 0.05, first alpha with
/// beta = 1 - alpha, then beta; the best leave the smallest error when both sides are 8 bits wide.
///
/// Source: msModelSlim's `flex_smooth_quant`.
public struct FlexibleSmoothing: SmoothingAlgorithm {
  public let alpha: Double?
  public let beta: Double?

  /// Whether query heads that share values take the mean of their scales, else the greatest sizes count.
  public let sharesMean: Bool
  /// Whether tokens share a scale and an offset in the search, as for recipes of `modelslim_v0`.
  public let isV0: Bool

  public init(alpha: Double? = nil, beta: Double? = nil, sharesMean: Bool = false, isV0: Bool = false) {
    self.alpha = alpha
    self.beta = beta
    self.sharesMean = sharesMean
    self.isV0 = isV0
  }

  public var needsTokens: Bool { alpha == nil || beta == nil }

  public func scales(_ input: SmoothingInput, _ threads: KernelThreads) throws -> SmoothingScales? {
    let (alpha, beta) = try exponents(input, threads)
    let weights = try input.weightMagnitudes
    func combine(_ a: [Float], _ w: [Float]) -> [Float] {
      zip(RoundedPower.of(a, alpha, input.dtype), RoundedPower.of(w, beta, input.dtype)).map { max($0 / $1, 1e-5) }
    }
    guard let heads = input.heads else {
      return SmoothingScales(try combine(input.largest, weights).rounded(to: input.dtype))
    }
    if sharesMean { return try SharedHeads.mean(combine(input.largest, weights), heads, input.dtype) }
    let largest = SharedHeads.reduce(input.largest, heads) { $0.max() ?? 0 }
    let greatest = SharedHeads.reduce(weights, heads) { $0.max() ?? 0 }
    return try SmoothingScales(
      read: combine(largest.read, greatest.read), source: combine(largest.source, greatest.source)
    ).rounded(to: input.dtype)
  }

  private func exponents(_ input: SmoothingInput, _ threads: KernelThreads) throws -> (Double, Double) {
    if let alpha, let beta { return (alpha, beta) }
    let weight = Matrix(
      rows: input.weights.reduce(0) { $0 + $1.rows }, columns: input.weights[0].columns,
      values: input.weights.flatMap(\.values))
    let trial = try SmoothingTrial(input.tokens, weight, input.dtype, threads, isV0: isV0)
    var best: (alpha: Double, beta: Double, error: Double) = (0, 0, .infinity)
    for alpha in SmoothingTrial.steps {
      let error = try trial.error(alpha: alpha, beta: 1 - alpha)
      if error <= best.error { best = (alpha, 0, error) }
    }
    for beta in SmoothingTrial.steps {
      let error = try trial.error(alpha: best.alpha, beta: beta)
      if error <= best.error { best = (best.alpha, beta, error) }
    }
    return (best.alpha, best.beta)
  }
}

/// A product of tokens and weights, and how far it is off when channels are scaled and both sides have 8 bits.
struct SmoothingTrial {
  private let tokens: Matrix
  private let weight: Matrix
  private let threads: KernelThreads
  private let dtype: DType
  private let isV0: Bool
  private let exact: Matrix
  private let largestTokens: [Float]
  private let largestWeights: [Float]

  /// 0, 0.05, ... 1.
  static let steps = (0...20).map { (Double($0) * 5).rounded() / 100 }

  /// - Parameter dtype: what each operation is rounded to.
  init(
    _ tokens: Matrix, _ weight: Matrix, _ dtype: DType, _ threads: KernelThreads, isV0: Bool = false
  ) throws {
    (self.dtype, self.isV0) = (dtype, isV0)
    self.tokens = tokens
    self.weight = weight
    self.threads = threads
    exact = try tokens.times(transposed: weight, dtype, threads)
    largestTokens = tokens.columnMagnitudes
    largestWeights = weight.columnMagnitudes
  }

  /// The root of the mean squared error by that of the product.
  func error(alpha: Double, beta: Double) throws -> Double {
    let (left, right) = (
      RoundedPower.of(largestTokens, alpha, dtype), RoundedPower.of(largestWeights, -beta, dtype)
    )
    let scales = try zip(left, right).map(*).rounded(to: dtype)
    let scaled = try tokens.dividingColumns(by: scales).rounded(to: dtype)
    let codes = isV0 ? try scaled.roundedTogether(dtype) : scaled.roundedRows(dtype)
    let stored = try weight.scalingColumns(scales).rounded(to: dtype).roundedRows(dtype)
    let made = try codes.times(transposed: stored, dtype, threads)
    return try made.relativeError(to: exact, dtype)
  }
}

extension Matrix {
  func rounded(to dtype: DType) throws -> Matrix {
    dtype == .float32 ? self : Matrix(rows: rows, columns: columns, values: try values.rounded(to: dtype))
  }

  /// What is left of each row with codes of -127 to 127 and one scale, each operation rounded to `dtype`.
  func roundedRows(_ dtype: DType = .float32) -> Matrix {
    func round(_ value: Float) -> Float { WeightCodes.round(value, to: dtype) }
    var result = self
    result.values.withUnsafeMutableBufferPointer { values in
      for row in 0..<rows {
        let range = row * columns..<(row + 1) * columns
        var largest: Float = 0
        for index in range { largest = max(largest, abs(values[index])) }
        let step = round(largest / 127)
        guard step > 0 else { continue }
        for index in range {
          values[index] = round(min(max(round(values[index] / step).rounded(.toNearestOrEven), -127), 127) * step)
        }
      }
    }
    return result
  }

  /// What is left of all elements with eight bits, one scale and one offset.
  func roundedTogether(_ dtype: DType) throws -> Matrix {
    guard let (least, greatest) = try range(of: values) else { return self }
    let grid = InputGrid(least: least, greatest: greatest, isSymmetric: false, dtype: dtype, isV0: true)
    return Matrix(
      rows: rows, columns: columns, values: try grid.roundTrip(Tensor(values, shape: [rows, columns])).floats)
  }

  /// The root of the mean squared difference, by the root of the mean square of `exact`. Each operation is rounded to
  /// `dtype`.
  func relativeError(to exact: Matrix, _ dtype: DType = .float32) throws -> Double {
    let gap = try minus(exact).rounded(to: dtype).rootMeanSquare(dtype)
    let size = exact.rootMeanSquare(dtype)
    return Double(size == 0 ? gap : WeightCodes.round(gap / size, to: dtype))
  }

  func minus(_ other: Matrix) -> Matrix {
    Matrix(rows: rows, columns: columns, values: zip(values, other.values).map { $0 - $1 })
  }

  /// Squares, their mean and its root rounded to `dtype`; sums are PyTorch's in float32.
  func rootMeanSquare(_ dtype: DType = .float32) -> Float {
    let squares = values.map { WeightCodes.round($0 * $0, to: dtype) }
    let mean = squares.withUnsafeBufferPointer { CascadeSum.sum($0) } / Float(max(values.count, 1))
    return WeightCodes.round(WeightCodes.round(mean, to: dtype).squareRoot(), to: dtype)
  }
}
