public import Tensors

/// `activation(x * transpose(weight) + bias)`: a matrix product as checkpoints store it, with what commonly follows.
/// Weight and bias are widened; the result has x's type.
///
/// - C1: all operands are floating point; their types may differ.
/// - C2: weight is a matrix [N,K] and the last dimension of x is K.
/// - C3: bias is a vector [N].
public struct Linear: Op {
  public static let schema = OpSchema("linear", operands: ["x", "weight"], optional: ["bias"])
  public static let defaults: Attributes = ["activation": .string("none")]
  public let activation: Activation

  public init(activation: Activation = .none) { self.activation = activation }

  public func infer(_ operands: [TensorType]) throws(OpError) -> [TensorType] {
    let (x, weight) = (operands[0], operands[1])
    try require(
      operands.allSatisfy(\.dtype.isFloat), "linear_c1", "operands must be floating point, got \(operands)")
    guard let k = x.dims.last, weight.rank == 2, unify(k, weight.dims[1]) != nil else {
      throw OpError("linear_c2", "\(x) does not go with weight \(weight)")
    }
    if operands.count > 2 {
      try require(
        operands[2].isVector(of: weight.dims[0]), "linear_c3", "bias \(operands[2]) does not go with weight \(weight)")
    }
    return [TensorType(x.dtype, x.dims.dropLast() + [weight.dims[0]])]
  }

  public func cost(_ operands: [TensorType], _ results: [TensorType]) -> OpCost {
    OpCost(
      operations: 2 * results[0].elementCount * operands[0].last(0), bytes: operands.byteCount + results.byteCount)
  }

  public func evaluate(_ operands: [Tensor]) throws -> [Tensor] {
    let (x, weight) = (operands[0], operands[1])
    let (n, k) = (weight.shape[0], weight.shape[1])
    let (a, w) = (x.doubles, weight.doubles)
    let bias = operands.count > 2 ? operands[2].doubles : [Double](repeating: 0, count: n)
    let shape = x.shape.dropLast() + [n]
    let rows = x.shape.dropLast().reduce(1, *)
    var result: [Double] = []
    result.reserveCapacity(rows * n)
    for row in 0..<rows {
      for column in 0..<n {
        var sum = 0.0
        for inner in 0..<k { sum += a[row * k + inner] * w[column * k + inner] }
        result.append(activation(sum + bias[column]))
      }
    }
    return [try Tensor(x.dtype, shape: Array(shape), doubles: result)]
  }
}
