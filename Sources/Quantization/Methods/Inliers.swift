import Tensors

/// Which weights of a row are too large to count for its scale.
public enum OutlierRule: Sendable, Equatable {
  /// Magnitudes above so many standard deviations of the row's magnitudes.
  case deviations(Float)
  /// Magnitudes above this.
  case above(Float)
  /// So large a share of the row, or of the whole weight, but one.
  case share(Double)
  case shareOfAll(Double)
}

extension WeightCodes {
  /// Four bits for all weights of a row but its outliers, which get codes beyond; eight bits are stored.
  ///
  /// Sums in double precision, all else in float32. Source: msModelSlim's sparse quantization (`is_lowbit`).
  static func sparse(_ rows: WeightRows, _ rule: OutlierRule) throws -> WeightCodes {
    var codes: [UInt8] = []
    codes.reserveCapacity(rows.elementCount)
    var scales: [Float] = []
    var rule = rule
    if case .shareOfAll(let share) = rule {
      let sizes = try (0..<rows.range.count).flatMap { try rows.values($0).map { abs($0) } }
      rule = .above(limit(sizes, share: share))
    }
    for row in 0..<rows.range.count {
      let values = try rows.values(row)
      let sizes = values.map { abs($0) }
      let scale = max(largestInlier(sizes, rule) / 7, .leastNormalMagnitude)
      scales.append(scale)
      codes += values.map {
        UInt8(bitPattern: Int8(min(max(($0 / scale).rounded(.toNearestOrEven), -128), 127)))
      }
    }
    return WeightCodes(codes: codes, scales: scales, offsets: scales.map { _ in 0 })
  }

  /// The least of the largest magnitudes that make up a share.
  private static func limit(_ sizes: [Float], share: Double) -> Float {
    let count = Int(share * Double(sizes.count))
    return count == 0 ? .infinity : sizes.sorted(by: >)[count - 1]
  }

  private static func largestInlier(_ sizes: [Float], _ rule: OutlierRule) -> Float {
    let limit: Float
    switch rule {
    case .deviations(let factor):
      let mean = sizes.reduce(0) { $0 + Double($1) } / Double(sizes.count)
      let squares = sizes.reduce(0) { $0 + (Double($1) - mean) * (Double($1) - mean) }
      limit = factor * Float((squares / Double(max(sizes.count - 1, 1))).squareRoot())
    case .above(let given): limit = given
    case .share(let share), .shareOfAll(let share): limit = self.limit(sizes, share: share)
    }
    // A row of equal magnitudes has no other.
    return sizes.filter { $0 <= limit }.max() ?? sizes.max() ?? 0
  }
}
