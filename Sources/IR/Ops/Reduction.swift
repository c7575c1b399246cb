public import Tensors

/// Operators that make one number of all elements along `axes`, which stay as dimensions of 1 when `keepDims`.
/// Without axes, each element is reduced alone.
///
/// - C1: x is a real number (for a mean, floating point).
/// - C2: axes are different dimensions of x; negative values count from the end.
public protocol Reduction: Op {
  var axes: [Int] { get }
  var keepDims: Bool { get }
  /// Whether whole numbers have a result.
  static var acceptsIntegers: Bool { get }
  static func reduce(_ values: [Double]) -> Double
  /// Nil when there is no result.
  static func reduce<T: FixedWidthInteger>(_ values: [T]) -> T?
}

extension Reduction {
  public static var defaults: Attributes { ["keepDims": .bool(true)] }
  public static var acceptsIntegers: Bool { true }

  public func infer(_ operands: [TensorType]) throws(OpError) -> [TensorType] {
    let x = operands[0]
    try require(
      x.dtype.isFloat || Self.acceptsIntegers && x.dtype.isInteger, "\(Self.name)_c1", "x cannot be reduced: \(x)")
    let reduced = Set(axes.map { x.resolved(axis: $0) })
    try require(
      axes.allSatisfy { x.resolves(axis: $0) } && reduced.count == axes.count, "\(Self.name)_c2",
      "axes \(axes) are not different dimensions of \(x)")
    let dims = x.dims.enumerated().compactMap { k, dim in reduced.contains(k) ? keepDims ? Dim.known(1) : nil : dim }
    return [TensorType(x.dtype, dims)]
  }

  public func evaluate(_ operands: [Tensor]) throws -> [Tensor] {
    let x = operands[0]
    let shape = try infer([x.type])[0].shape!
    let reduced = Set(axes.map { x.type.resolved(axis: $0) })
    let strides = rowMajorStrides(x.shape)
    let (inner, outer) = (x.shape.indices.filter(reduced.contains), x.shape.indices.filter { !reduced.contains($0) })
    let steps = offsets(inner.map { x.shape[$0] }, strides: inner.map { strides[$0] })
    let starts = offsets(outer.map { x.shape[$0] }, strides: outer.map { strides[$0] })
    func integers<T: FixedWidthInteger>(_ values: [T]) throws -> [Tensor] {
      let results = try starts.map { start in
        guard let result = Self.reduce(steps.map { values[start + $0] }) else {
          throw OpError("\(Self.name)_value", "no result for no elements")
        }
        return Int64(truncatingIfNeeded: result)
      }
      return [try Tensor(x.dtype, shape: shape, wrapping: results)]
    }
    if x.dtype == .uint64 { return try integers(x.unsignedIntegers) }
    if x.dtype.isInteger { return try integers(x.integers) }
    if x.dtype.bits >= 8, inner == Array((x.rank - inner.count)..<x.rank) {
      // What is reduced together lies together: no more than that is widened at a time.
      let size = steps.count * x.dtype.bits / 8
      let results = try starts.indices.map { line in
        try Self.reduce(
          Tensor(x.dtype, shape: [steps.count], bytes: x.bytes[line * size..<(line + 1) * size]).doubles)
      }
      return [try Tensor(x.dtype, shape: shape, doubles: results)]
    }
    let values = x.doubles
    let results = starts.map { start in Self.reduce(steps.map { values[start + $0] }) }
    return [try Tensor(x.dtype, shape: shape, doubles: results)]
  }
}
