public import Tensors

/// How far two results of the same inputs are apart.
public struct OutputComparison: Sendable {
  public let name: String
  public let shape: [Int]
  /// The cosine of the angle between the two as vectors; 1 when both are zero.
  public let cosine: Double
  /// The largest difference of two elements.
  public let largestError: Double
  /// ``largestError`` as a part of the reference's largest magnitude.
  public let largestRelativeError: Double
  /// The part of rows along the last dimension in which both have their largest element at the same place; nil where
  /// there are no rows to speak of.
  public let topOneAgreement: Double?
  /// Elements that are not a finite number in exactly one of the two.
  public let nonFiniteMismatches: Int
  public let thresholds: Thresholds

  /// Whether the two are as close as the thresholds demand.
  public var passes: Bool {
    nonFiniteMismatches == 0 && cosine >= thresholds.cosine && largestRelativeError <= thresholds.relativeError
  }

  /// Compares elementwise in double precision. Throws ``ErrorCode/comparison`` when types or shapes differ.
  public init(_ name: String, reference: Tensor, candidate: Tensor, thresholds: Thresholds) throws {
    guard reference.shape == candidate.shape else {
      throw BessemerError(
        .comparison, "output \(quoted(name)) is \(candidate.type), the reference's is \(reference.type)")
    }
    let (x, y) = (reference.floats, candidate.floats)
    var (dot, xx, yy, largest, scale) = (0.0, 0.0, 0.0, 0.0, 0.0)
    var mismatches = 0
    for (a, b) in zip(x, y) {
      guard a.isFinite, b.isFinite else {
        if !(a.isNaN && b.isNaN), a != b { mismatches += 1 }
        continue
      }
      let (a, b) = (Double(a), Double(b))
      dot += a * b
      xx += a * a
      yy += b * b
      largest = max(largest, abs(a - b))
      scale = max(scale, abs(a))
    }
    self.name = name
    self.shape = reference.shape
    cosine = xx == 0 && yy == 0 ? 1 : xx == 0 || yy == 0 ? 0 : max(-1, min(1, dot / (xx * yy).squareRoot()))
    largestError = largest
    largestRelativeError = largest == 0 ? 0 : scale == 0 ? .infinity : largest / scale
    topOneAgreement = OutputComparison.agreement(x, y, width: reference.shape.last ?? 1)
    nonFiniteMismatches = mismatches
    self.thresholds = thresholds
  }

  private static func agreement(_ x: [Float], _ y: [Float], width: Int) -> Double? {
    guard width > 1, !x.isEmpty else { return nil }
    var same = 0
    for start in stride(from: 0, to: x.count, by: width) {
      func first(_ values: [Float]) -> Int {
        (start..<start + width).max { (values[$0], $1) < (values[$1], $0) } ?? start
      }
      if first(x) == first(y) { same += 1 }
    }
    return Double(same) / Double(x.count / width)
  }
}

/// What counts as equal, by the least precise type that took part.
public struct Thresholds: Sendable {
  public var relativeError: Double
  public var cosine: Double

  public init(relativeError: Double, cosine: Double) {
    self.relativeError = relativeError
    self.cosine = cosine
  }

  /// Units in the last place of `dtype`, with room for the sums of a deep network.
  public init(for dtype: DType) {
    switch dtype {
    case .float64, .float32: self.init(relativeError: 1e-4, cosine: 0.99999)
    case .float16: self.init(relativeError: 1e-2, cosine: 0.9999)
    case .bfloat16: self.init(relativeError: 8e-2, cosine: 0.999)
    default: self.init(relativeError: 0.25, cosine: 0.98)
    }
  }
}
