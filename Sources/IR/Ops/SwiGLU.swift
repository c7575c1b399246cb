public import Tensors

/// `silu(a) * b` of the first and the second half, `a` and `b`, of the last dimension.
///
/// - C1: x is floating point.
/// - C2: the last dimension is a known even number.
public struct SwiGLU: Op {
  public static let schema = OpSchema("swiglu", operands: ["x"])
  public init() {}

  public func infer(_ operands: [TensorType]) throws(OpError) -> [TensorType] {
    let x = operands[0]
    try require(x.dtype.isFloat, "swiglu_c1", "x must be floating point, got \(x)")
    guard case .known(let n)? = x.dims.last, n % 2 == 0 else {
      throw OpError("swiglu_c2", "the last dimension of \(x) is not even")
    }
    return [TensorType(x.dtype, x.dims.dropLast() + [.known(n / 2)])]
  }

  public func evaluate(_ operands: [Tensor]) throws -> [Tensor] {
    [try swiglu(operands[0], axis: operands[0].rank - 1)]
  }
}

/// `silu(a) * b` of the two halves along `axis`, given from the front.
func swiglu(_ x: Tensor, axis: Int) throws -> Tensor {
  var shape = x.shape
  shape[axis] /= 2
  let inner = shape[axis...].reduce(1, *)
  let values = x.doubles
  let results = (0..<shape.reduce(1, *)).map { index in
    let at = index / inner * 2 * inner + index % inner
    return Activation.silu(values[at]) * values[at + inner]
  }
  return try Tensor(x.dtype, shape: shape, doubles: results)
}
