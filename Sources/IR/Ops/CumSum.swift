public import Tensors

/// The sum of the elements up to each one along `axis`; each sum is rounded once, integers wrap around.
///
/// - C1: x is a real number.
/// - C2: axis is a dimension of x; negative values count from the end.
public struct CumSum: Op {
  public static let schema = OpSchema("cumsum", operands: ["x"], foreign: [.ascend("CumsumD")])
  public let axis: Int

  public init(axis: Int) { self.axis = axis }

  public func infer(_ operands: [TensorType]) throws(OpError) -> [TensorType] {
    let x = operands[0]
    try require(x.dtype.isFloat || x.dtype.isInteger, "cumsum_c1", "x must be a number, got \(x)")
    try require(x.resolves(axis: axis), "cumsum_c2", "axis \(axis) is not a dimension of \(x)")
    return [x]
  }

  public func evaluate(_ operands: [Tensor]) throws -> [Tensor] {
    let x = operands[0]
    func sums<T>(_ values: [T], _ zero: T, _ add: (T, T) -> T) -> [T] {
      var values = values
      x.forEachLine(along: x.type.resolved(axis: axis)) { line in
        var sum = zero
        for i in line {
          sum = add(sum, values[i])
          values[i] = sum
        }
      }
      return values
    }
    if x.dtype.isFloat { return [try Tensor(x.dtype, shape: x.shape, doubles: sums(x.doubles, 0, +))] }
    return [try Tensor(x.dtype, shape: x.shape, wrapping: sums(x.integers, 0, &+))]
  }
}
