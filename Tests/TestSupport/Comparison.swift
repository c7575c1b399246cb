public import Tensors

extension Tensor {
  /// Whether type, shape and every bit are the same.
  public func hasSameBits(as other: Tensor) -> Bool { self == other }

  /// Whether type, shape and every value are the same; all NaNs are one, and so are both zeros.
  public func hasSameValues(as other: Tensor) -> Bool {
    guard dtype == other.dtype, shape == other.shape else { return false }
    guard dtype.isFloat else { return self == other }
    return zip(doubles, other.doubles).allSatisfy { $0 == $1 || $0.isNaN && $1.isNaN }
  }

  /// The greatest `|a - b| / max(|a|, |b|, floor)` over all elements; infinite when types, shapes, NaNs or infinities
  /// differ.
  public func maximumRelativeError(to other: Tensor, floor: Double = .leastNormalMagnitude) -> Double {
    guard dtype == other.dtype, shape == other.shape else { return .infinity }
    guard dtype.isFloat else { return self == other ? 0 : .infinity }
    return zip(doubles, other.doubles).reduce(0) { worst, pair in
      let (a, b) = pair
      if a == b || a.isNaN && b.isNaN { return worst }
      guard a.isFinite, b.isFinite else { return .infinity }
      return max(worst, abs(a - b) / max(abs(a), abs(b), floor))
    }
  }
}
