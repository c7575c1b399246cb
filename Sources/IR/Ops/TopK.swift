public import Tensors

/// The `k` greatest elements along the last dimension, from the greatest down, and their indices. Of equal elements the
/// first counts as greater, a NaN counts as greatest.
///
/// - C1: x is a real number.
/// - C2: the last dimension of x is known, and k is positive and not above it.
public struct TopK: Op {
  public static let schema = OpSchema("topk", operands: ["x"])
  public let k: Int

  public init(k: Int) { self.k = k }

  public func infer(_ operands: [TensorType]) throws(OpError) -> [TensorType] {
    let x = operands[0]
    try require(x.dtype.isFloat || x.dtype.isInteger, "topk_c1", "x must be a number, got \(x)")
    guard case .known(let size)? = x.dims.last, k > 0, k <= size else {
      throw OpError("topk_c2", "there are no \(k) elements in the last dimension of \(x)")
    }
    let dims: [Dim] = x.dims.dropLast() + [.known(k)]
    return [TensorType(x.dtype, dims), TensorType(.int64, dims)]
  }

  public func evaluate(_ operands: [Tensor]) throws -> [Tensor] {
    let x = operands[0]
    let size = x.shape[x.rank - 1]
    let shape: [Int] = x.shape.dropLast() + [k]
    func places<T>(_ values: [T], _ isGreater: (T, T) -> Bool) -> [Int] {
      (0..<shape.dropLast().reduce(1, *)).flatMap { row in
        (row * size..<(row + 1) * size).sorted { a, b in
          isGreater(values[a], values[b]) || !isGreater(values[b], values[a]) && a < b
        }.prefix(k)
      }
    }
    let chosen =
      x.dtype.isFloat
      ? places(x.doubles) { $0 > $1 || $0.isNaN && !$1.isNaN }
      : x.dtype == .uint64 ? places(x.unsignedIntegers, >) : places(x.integers, >)
    return [try x.picking(chosen, shape: shape), Tensor(chosen.map { Int64($0 % size) }, shape: shape)]
  }
}
