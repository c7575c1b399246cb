public import Tensors

/// Elementwise functions of a real number of any type. Whole numbers wrap around.
///
/// - C1: x is a real number.
public protocol UnaryArithmetic: Op {
  static func apply(_ x: Double) -> Double
  static func apply<T: FixedWidthInteger>(_ x: T) -> T
}

extension UnaryArithmetic {
  public func infer(_ operands: [TensorType]) throws(OpError) -> [TensorType] {
    let x = operands[0]
    try require(x.dtype.isFloat || x.dtype.isInteger, "\(Self.name)_c1", "x must be a number, got \(x)")
    return operands
  }

  public func evaluate(_ operands: [Tensor]) throws -> [Tensor] {
    let x = operands[0]
    if x.dtype.isFloat { return [try Tensor(x.dtype, shape: x.shape, doubles: x.doubles.map { Self.apply($0) })] }
    let values: [Int64] =
      x.dtype == .uint64
      ? x.unsignedIntegers.map { Int64(bitPattern: Self.apply($0)) } : x.integers.map { Self.apply($0) }
    return [try Tensor(x.dtype, shape: x.shape, wrapping: values)]
  }
}
