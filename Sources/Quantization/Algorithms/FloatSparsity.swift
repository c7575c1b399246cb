import Glibc
public import Tensors

/// Makes a share of a weight zero and most of the rest coarse, so that the layer's outputs change least: the
/// alternating direction method of multipliers, in 20 turns, the last five of which choose no other elements.
///
/// Of what is left, the 2 % that rounding costs the outputs most keep their digits in float16; all others have two bits
/// after the leading one. Inputs of a layer are known by their second moments alone. Sums are float32, their order
/// another than in the source: elements at the edge of a share may be chosen otherwise. Source: msModelSlim's
/// `float_sparse`.
public struct FloatSparsity {
  private static let turns = 20
  private static let choosingTurns = 15
  private static let damping: Float = 0.1
  /// Of all elements, those that are not made coarse.
  private static let exactShare = 0.02

  private let sizes: [Float]
  private let correlations: Matrix
  private let inverse: PackedMatrix
  private let threads: KernelThreads

  /// For the layers that read one value.
  ///
  /// Throws ``ErrorCode/modelInput`` when the moments say too little.
  public init(_ moments: SecondMoments, module: String, _ threads: KernelThreads) throws {
    self.threads = threads
    var matrix = try moments.matrix
    let width = matrix.columns
    let sizes = (0..<width).map { matrix.values[$0 * width + $0].squareRoot() + 1e-8 }
    for row in 0..<width {
      for column in 0..<width { matrix.values[row * width + column] /= sizes[column] * sizes[row] }
    }
    let mean = (0..<width).reduce(0.0) { $0 + Double(matrix.values[$1 * width + $1]) } / Double(width)
    for index in 0..<width { matrix.values[index * width + index] += FloatSparsity.damping * Float(mean) }
    correlations = matrix
    for index in 0..<width { matrix.values[index * width + index] += 1 }
    guard try matrix.factorLower(threads) else {
      throw BessemerError(.modelInput, "the inputs of \(quoted(module)) cannot be told apart; give more data")
    }
    let lower = try matrix.inverseOfLower(threads)
    let whole = try lower.transposed.times(PackedMatrix(lower.all, threads), threads)
    (self.sizes, inverse) = (sizes, try PackedMatrix(whole.all, threads))
  }

  /// The weight [outputs, inputs] with a share of its elements zero, rounded to its type.
  ///
  /// Throws ``ErrorCode/weights`` when it is NaN or infinite.
  public func sparse(_ weight: Tensor, module: String, share: Double) throws -> Tensor {
    var weights = try Matrix(weight)
    guard weights.values.allSatisfy(\.isFinite) else {
      throw WeightCodes.notFinite(try LinearWeight(module: module, weight.dtype, shape: weight.shape))
    }
    weights = weights.scalingColumns(sizes)
    let pull = try weights.times(PackedMatrix(correlations.all, threads), threads)
    let zeros = Int(Double(weights.values.count) * share)
    var lagrange = Matrix(zeros: weights.rows, weights.columns)
    var isKept = [Bool](repeating: true, count: weights.values.count)
    for turn in 0..<FloatSparsity.turns {
      try Interrupt.check()
      if turn < FloatSparsity.choosingTurns {
        let sums = zip(weights.values, lagrange.values).map { $0 + $1 }
        isKept = MagnitudeRank(sums).largest(sums.count - zeros)
      }
      for range in FloatSparsity.pieces(weights) {
        var target = Matrix(
          rows: range.count / weights.columns, columns: weights.columns, values: Array(pull.values[range]))
        for (place, index) in range.enumerated() {
          let kept = isKept[index] ? weights.values[index] + lagrange.values[index] : 0
          lagrange.values[index] += weights.values[index] - kept
          target.values[place] += kept - lagrange.values[index]
        }
        weights.set(try target.times(inverse, threads), row: range.lowerBound / weights.columns, column: 0)
      }
    }
    for index in isKept.indices {
      weights.values[index] = isKept[index] ? weights.values[index] + lagrange.values[index] : 0
    }
    return try coarse(weights.dividingColumns(by: sizes).tensor(weight.dtype, shape: weight.shape))
  }

  /// Rows that are worked on at once: all their elements.
  private static func pieces(_ matrix: Matrix) -> [Range<Int>] {
    stride(from: 0, to: matrix.rows, by: 256).map {
      $0 * matrix.columns..<min($0 + 256, matrix.rows) * matrix.columns
    }
  }

  /// All elements but the most telling ones with few digits.
  private func coarse(_ weight: Tensor) throws -> Tensor {
    var values = weight.floats
    let costs = values.indices.map { index in
      abs(values[index] - Float(FloatSparsity.coarse(Float16(values[index]), isExact: false)))
        * sizes[index % sizes.count]
    }
    let place = max(1, Int(Double(costs.count) * FloatSparsity.exactShare))
    let limit = MagnitudeRank(costs).magnitude(ofLargest: place)
    for index in values.indices {
      values[index] = Float(FloatSparsity.coarse(Float16(values[index]), isExact: costs[index] >= limit))
    }
    return try Tensor(values, shape: weight.shape).cast(to: weight.dtype)
  }

  /// Two bits after the leading one; below 2⁻⁸ the nearest power of two, below 2⁻¹⁴ zero, of which the latter alone may
  /// be kept exact.
  private static func coarse(_ value: Float16, isExact: Bool) -> Float16 {
    guard value.isNormal else { return isExact || !value.isFinite ? value : 0 }
    let size = value.magnitude
    let significand: Float16
    if size.exponent < -8 {
      significand = size.significand > 1.5 ? 2 : 1
    } else {
      significand = isExact ? size.significand : (size.significand * 4).rounded(.toNearestOrEven) / 4
    }
    return Float16(sign: value.sign, exponent: size.exponent, significand: significand)
  }
}

/// Magnitudes in their order, found by counting bit patterns: no sorting.
struct MagnitudeRank {
  private let values: [Float]

  init(_ values: [Float]) { self.values = values }

  /// The magnitude that so many are at least as large as, 1 or more.
  func magnitude(ofLargest count: Int) -> Float { Float(bitPattern: pattern(ofLargest: count).bits) }

  /// Whether each value is among so many of the largest; of equal ones the last.
  func largest(_ count: Int) -> [Bool] {
    guard count > 0 else { return values.map { _ in false } }
    let (limit, above) = pattern(ofLargest: count)
    var rest = count - above
    var result = values.map { $0.magnitude.bitPattern > limit }
    for index in values.indices.reversed() where values[index].magnitude.bitPattern == limit && rest > 0 {
      result[index] = true
      rest -= 1
    }
    return result
  }

  /// The pattern at a place from above, and how many are above it.
  private func pattern(ofLargest count: Int) -> (bits: UInt32, above: Int) {
    func find(_ digits: (UInt32) -> Int?, above: Int) -> (digit: Int, above: Int) {
      var counts = [Int](repeating: 0, count: 1 << 16)
      for value in values { if let digit = digits(value.magnitude.bitPattern) { counts[digit] += 1 } }
      var (digit, above) = (counts.count - 1, above)
      while digit > 0, above + counts[digit] < count {
        above += counts[digit]
        digit -= 1
      }
      return (digit, above)
    }
    let high = find({ Int($0 >> 16) }, above: 0)
    let low = find({ Int($0 >> 16) == high.digit ? Int($0 & 0xFFFF) : nil }, above: high.above)
    return (UInt32(high.digit) << 16 | UInt32(low.digit), low.above)
  }
}
