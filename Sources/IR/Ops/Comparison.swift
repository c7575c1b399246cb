public import Tensors

/// Elementwise comparisons of two operands with one type, broadcasting as NumPy does; the result is bool. Nothing
/// compares to a NaN, and a NaN is not equal to itself.
///
/// - C1: both operands have the same element type: a real number or, where only equality is asked, bool.
/// - C2: the shapes broadcast.
public protocol Comparison: Op {
  /// Whether booleans have an answer.
  static var acceptsBooleans: Bool { get }
  static func compare<T: Comparable>(_ a: T, _ b: T) -> Bool
}

extension Comparison {
  public static var acceptsBooleans: Bool { false }

  public func infer(_ operands: [TensorType]) throws(OpError) -> [TensorType] {
    let (a, b) = (operands[0], operands[1])
    try require(
      a.dtype == b.dtype && (a.dtype.isFloat || a.dtype.isInteger || Self.acceptsBooleans && a.dtype == .bool),
      "\(Self.name)_c1", "operands must have one comparable type, got \(a) and \(b)")
    guard let dims = broadcast([a.dims, b.dims]) else {
      throw OpError("\(Self.name)_c2", "\(a) and \(b) do not broadcast")
    }
    return [TensorType(.bool, dims)]
  }

  public func evaluate(_ operands: [Tensor]) throws -> [Tensor] {
    let (a, b) = (operands[0], operands[1])
    let shape = try infer([a.type, b.type])[0].shape!
    let (ia, ib) = (a.broadcastIndices(to: shape), b.broadcastIndices(to: shape))
    func booleans<T: Comparable>(_ x: [T], _ y: [T]) throws -> [Tensor] {
      [try Tensor(.bool, shape: shape, bytes: Bytes(zip(ia, ib).map { Self.compare(x[$0], y[$1]) ? 1 : 0 }))]
    }
    if a.dtype.isFloat { return try booleans(a.doubles, b.doubles) }
    if a.dtype == .uint64 { return try booleans(a.unsignedIntegers, b.unsignedIntegers) }
    return try booleans(a.integers, b.integers)
  }
}
