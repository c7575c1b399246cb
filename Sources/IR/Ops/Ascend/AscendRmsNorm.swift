public import Tensors

extension Ascend {
  /// `y = x * rstd * gamma` and `rstd = 1 / sqrt(mean(x^2) + epsilon)` along the last dimension; y is rounded once.
  ///
  /// - C1: x is float16, bfloat16 or float32; gamma has that type or float32.
  /// - C2: gamma is a vector as long as the last dimension of x.
  /// - C3: epsilon is not negative.
  public struct RmsNorm: Op {
    public static let schema = OpSchema("ascend.RmsNorm", operands: ["x", "gamma"], foreign: [.ascend("RmsNorm")])
    public static let defaults: Attributes = ["epsilon": .float(1e-6)]
    public let epsilon: Double

    public init(epsilon: Double = 1e-6) { self.epsilon = epsilon }

    public func infer(_ operands: [TensorType]) throws(OpError) -> [TensorType] {
      let (x, gamma) = (operands[0], operands[1])
      try require(
        Ascend.computes(x.dtype) && Ascend.widens(gamma.dtype, to: x.dtype), "ascend.RmsNorm_c1",
        "x \(x) and gamma \(gamma) have the wrong types")
      guard let last = x.dims.last, gamma.isVector(of: last) else {
        throw OpError("ascend.RmsNorm_c2", "gamma \(gamma) does not go with \(x)")
      }
      try require(epsilon >= 0, "ascend.RmsNorm_c3", "epsilon \(epsilon) is negative")
      return [x, x.rowStatistic]
    }

    public func evaluate(_ operands: [Tensor]) throws -> [Tensor] {
      let x = operands[0]
      let rows = RMSNormRows(x, weight: operands[1].doubles, epsilon: epsilon)
      return [try Tensor(x.dtype, shape: x.shape, doubles: rows.y), try .rowStatistic(rows.rstd, of: x)]
    }
  }
}
