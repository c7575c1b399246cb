public import Tensors

/// `min(max(x, minimum), maximum)`; NaN for NaN.
///
/// - C1: x is a real number.
/// - C2: minimum is not above maximum, and neither is NaN.
/// - C3: for whole numbers, the bounds are whole numbers of at most 48 bits or, for none, infinite.
public struct Clip: Op {
  public static let schema = OpSchema("clip", operands: ["x"], traits: [.elementwise])
  public static let defaults: Attributes = ["minimum": .float(-.infinity), "maximum": .float(.infinity)]
  public let minimum: Double
  public let maximum: Double

  public init(minimum: Double = -.infinity, maximum: Double = .infinity) {
    self.minimum = minimum
    self.maximum = maximum
  }

  public func infer(_ operands: [TensorType]) throws(OpError) -> [TensorType] {
    let x = operands[0]
    try require(x.dtype.isFloat || x.dtype.isInteger, "clip_c1", "x must be a number, got \(x)")
    try require(minimum <= maximum, "clip_c2", "bounds \(minimum) and \(maximum) are not in order")
    if x.dtype.isInteger {
      try require(
        (minimum == -.infinity || isWhole(minimum)) && (maximum == .infinity || isWhole(maximum)), "clip_c3",
        "bounds \(minimum) and \(maximum) of \(x) are not whole")
    }
    return operands
  }

  private func isWhole(_ bound: Double) -> Bool { bound == bound.rounded() && bound.magnitude <= 0x1p48 }

  public func evaluate(_ operands: [Tensor]) throws -> [Tensor] {
    let x = operands[0]
    func clip<T: Comparable>(_ value: T, _ least: T?, _ greatest: T?) -> T {
      if let least, value < least { return least }
      if let greatest, value > greatest { return greatest }
      return value
    }
    if x.dtype.isFloat {
      return [try Tensor(x.dtype, shape: x.shape, doubles: x.doubles.map { clip($0, minimum, maximum) })]
    }
    // Beyond the range of the type, a bound is the end of the range.
    if x.dtype == .uint64 {
      let (least, greatest) = (UInt64(exactly: max(minimum, 0)), UInt64(exactly: max(maximum, 0)))
      let values = x.unsignedIntegers.map { Int64(bitPattern: clip($0, least, greatest)) }
      return [try Tensor(x.dtype, shape: x.shape, wrapping: values)]
    }
    let (least, greatest) = (Int64(exactly: minimum), Int64(exactly: maximum))
    return [try Tensor(x.dtype, shape: x.shape, integers: x.integers.map { clip($0, least, greatest) })]
  }
}
