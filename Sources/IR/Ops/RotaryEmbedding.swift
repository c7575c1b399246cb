public import Tensors

/// Turns pairs among the first R elements of the last dimension by the angles whose cosines and sines are given; the
/// other elements stay.
///
/// Halves (x1, x2 of R): `y = x * cos + concat(-x2, x1) * sin`. Interleaved: `y[2i] = x[2i] * cos[2i] - x[2i+1] *
/// sin[2i]` and `y[2i+1] = x[2i+1] * cos[2i+1] + x[2i] * sin[2i+1]`. The tables are widened; the result has x's type.
///
/// - C1: all operands are floating point, cos and sin of one type.
/// - C2: cos and sin have the same shape and as many dimensions as x; all but the last broadcast to those of x.
/// - C3: R, the last dimension of cos and sin, is a known even number that is not above the last dimension of x.
public struct RotaryEmbedding: Op {
  public static let schema = OpSchema("rotary_embedding", operands: ["x", "cos", "sin"])
  public static let defaults: Attributes = ["interleaved": .bool(false)]
  public let interleaved: Bool

  public init(interleaved: Bool = false) { self.interleaved = interleaved }

  public func infer(_ operands: [TensorType]) throws(OpError) -> [TensorType] {
    let (x, cos, sin) = (operands[0], operands[1], operands[2])
    try require(
      x.dtype.isFloat && cos.dtype.isFloat && cos.dtype == sin.dtype, "rotary_embedding_c1",
      "operands must be floating point, got \(operands)")
    try require(
      cos.dims == sin.dims && cos.rank == x.rank && x.rank > 0
        && broadcasts(cos.dims.dropLast(), to: x.dims.dropLast()), "rotary_embedding_c2",
      "tables \(cos) and \(sin) do not go with \(x)")
    guard case .known(let r)? = cos.dims.last, r % 2 == 0, x.dims[x.rank - 1].value ?? r >= r else {
      throw OpError("rotary_embedding_c3", "the last dimension of \(cos) does not go with \(x)")
    }
    return [x]
  }

  public func evaluate(_ operands: [Tensor]) throws -> [Tensor] {
    [try rotated(operands[0], cos: operands[1], sin: operands[2], interleaved: interleaved)]
  }
}
