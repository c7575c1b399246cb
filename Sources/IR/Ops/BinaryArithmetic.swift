public import Tensors

/// Elementwise operators of two operands with one type, broadcasting as NumPy does. Whole numbers wrap around.
///
/// - C1: both operands have the same element type, a real number.
/// - C2: the shapes broadcast.
public protocol BinaryArithmetic: Op {
  static func apply(_ a: Double, _ b: Double) -> Double
  /// Nil for an operation that has no result, as division by zero.
  static func apply<T: FixedWidthInteger>(_ a: T, _ b: T) -> T?
}

extension BinaryArithmetic {
  public func infer(_ operands: [TensorType]) throws(OpError) -> [TensorType] {
    let (a, b) = (operands[0], operands[1])
    try require(
      a.dtype == b.dtype && (a.dtype.isFloat || a.dtype.isInteger), "\(Self.name)_c1",
      "operands must have one numeric type, got \(a) and \(b)")
    guard let dims = broadcast([a.dims, b.dims]) else {
      throw OpError("\(Self.name)_c2", "\(a) and \(b) do not broadcast")
    }
    return [TensorType(a.dtype, dims)]
  }

  public func evaluate(_ operands: [Tensor]) throws -> [Tensor] {
    let (a, b) = (operands[0], operands[1])
    let shape = try infer([a.type, b.type])[0].shape!
    let (ia, ib) = (a.broadcastIndices(to: shape), b.broadcastIndices(to: shape))
    func integers<T: FixedWidthInteger>(_ x: [T], _ y: [T]) throws -> Tensor {
      let values = try zip(ia, ib).map { i, j in
        guard let value = Self.apply(x[i], y[j]) else {
          throw OpError("\(Self.name)_value", "no result for \(x[i]) and \(y[j])")
        }
        return Int64(truncatingIfNeeded: value)
      }
      return try Tensor(a.dtype, shape: shape, wrapping: values)
    }
    if a.dtype == .uint64 { return [try integers(a.unsignedIntegers, b.unsignedIntegers)] }
    if a.dtype.isInteger { return [try integers(a.integers, b.integers)] }
    let (x, y) = (a.doubles, b.doubles)
    return [try Tensor(a.dtype, shape: shape, doubles: zip(ia, ib).map { Self.apply(x[$0], y[$1]) })]
  }
}
