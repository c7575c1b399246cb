public import Tensors

extension Ascend {
  /// `silu(a) * b` of the first and the second half, `a` and `b`, along `dim`.
  ///
  /// - C1: x is float16, bfloat16 or float32.
  /// - C2: dim is a dimension of x, a known even number; negative values count from the end.
  public struct SwiGlu: Op {
    public static let schema = OpSchema("ascend.SwiGlu", operands: ["x"], foreign: [.ascend("SwiGlu")])
    public static let defaults: Attributes = ["dim": .int(-1)]
    public let dim: Int

    public init(dim: Int = -1) { self.dim = dim }

    public func infer(_ operands: [TensorType]) throws(OpError) -> [TensorType] {
      var x = operands[0]
      try require(Ascend.computes(x.dtype), "ascend.SwiGlu_c1", "x has the wrong type, \(x)")
      guard x.resolves(axis: dim), case .known(let n) = x.dims[x.resolved(axis: dim)], n % 2 == 0 else {
        throw OpError("ascend.SwiGlu_c2", "dimension \(dim) of \(x) does not split into halves")
      }
      x.dims[x.resolved(axis: dim)] = .known(n / 2)
      return [x]
    }

    public func evaluate(_ operands: [Tensor]) throws -> [Tensor] {
      [try swiglu(operands[0], axis: operands[0].type.resolved(axis: dim))]
    }
  }
}
