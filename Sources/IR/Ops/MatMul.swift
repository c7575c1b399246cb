public import Tensors

/// The product of matrices in the last two dimensions, `y[…,m,n] = sum_k a[…,m,k] * b[…,k,n]`; the others broadcast.
///
/// - C1: both operands have the same floating-point type.
/// - C2: both operands have at least two dimensions.
/// - C3: the last dimension of a is the second last of b.
/// - C4: the leading dimensions broadcast.
public struct MatMul: Op {
  public static let schema = OpSchema(
    "matmul", operands: ["a", "b"],
    foreign: [.onnx("MatMul", since: 13), .mindIR("BatchMatMul"), .ascend("BatchMatMulV2")])
  public init() {}

  public func infer(_ operands: [TensorType]) throws(OpError) -> [TensorType] {
    let (a, b) = (operands[0], operands[1])
    try require(
      a.dtype == b.dtype && a.dtype.isFloat, "matmul_c1",
      "operands must have one floating-point type, got \(a) and \(b)")
    try require(a.rank >= 2 && b.rank >= 2, "matmul_c2", "operands must be matrices, got \(a) and \(b)")
    let (m, k, n) = (a.dims[a.rank - 2], a.dims[a.rank - 1], b.dims[b.rank - 1])
    try require(unify(k, b.dims[b.rank - 2]) != nil, "matmul_c3", "\(a) and \(b) share no inner dimension")
    guard let batch = broadcast([a.dims.dropLast(2), b.dims.dropLast(2)]) else {
      throw OpError("matmul_c4", "the leading dimensions of \(a) and \(b) do not broadcast")
    }
    return [TensorType(a.dtype, batch + [m, n])]
  }

  public func cost(_ operands: [TensorType], _ results: [TensorType]) -> OpCost {
    OpCost(
      operations: 2 * results[0].elementCount * operands[0].last(0), bytes: operands.byteCount + results.byteCount)
  }

  public func evaluate(_ operands: [Tensor]) throws -> [Tensor] {
    let (a, b) = (operands[0], operands[1])
    let shape = try infer([a.type, b.type])[0].shape!
    let (m, k, n) = (a.shape[a.rank - 2], a.shape[a.rank - 1], b.shape[b.rank - 1])
    let (x, y) = (a.doubles, b.doubles)
    var result = [Double](repeating: 0, count: shape.reduce(1, *))
    let batch = Array(shape.dropLast(2))
    let pairs = zip(a.matrixNumbers(broadcastTo: batch), b.matrixNumbers(broadcastTo: batch))
    for (number, (i, j)) in pairs.enumerated() {
      for row in 0..<m {
        let target = (number * m + row) * n
        for inner in 0..<k {
          let factor = x[(i * m + row) * k + inner]
          let source = (j * k + inner) * n
          for column in 0..<n { result[target + column] += factor * y[source + column] }
        }
      }
    }
    return [try Tensor(a.dtype, shape: shape, doubles: result)]
  }
}

extension Tensor {
  /// For each matrix of the broadcast leading dimensions, the number of this tensor's matrix.
  fileprivate func matrixNumbers(broadcastTo batch: [Int]) -> [Int] {
    let own = Array(shape.dropLast(2))
    let lead = batch.count - own.count
    let strides = rowMajorStrides(own)
    return offsets(batch, strides: batch.indices.map { $0 < lead || own[$0 - lead] == 1 ? 0 : strides[$0 - lead] })
  }
}
