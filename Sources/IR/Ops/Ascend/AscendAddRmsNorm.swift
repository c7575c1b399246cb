public import Tensors

extension Ascend {
  /// `x = x1 + x2`, rounded; then `y = x * rstd * gamma` and `rstd = 1 / sqrt(mean(x^2) + epsilon)` along the last
  /// dimension of the rounded x. The results are y, rstd and x.
  ///
  /// - C1: x1 and x2 are both float16, bfloat16 or float32; gamma has that type or float32.
  /// - C2: x1 and x2 have the same shape and gamma is a vector as long as its last dimension.
  /// - C3: epsilon is not negative.
  public struct AddRmsNorm: Op {
    public static let schema = OpSchema(
      "ascend.AddRmsNorm", operands: ["x1", "x2", "gamma"], foreign: [.ascend("AddRmsNorm")])
    public static let defaults: Attributes = ["epsilon": .float(1e-6)]
    public let epsilon: Double

    public init(epsilon: Double = 1e-6) { self.epsilon = epsilon }

    public func infer(_ operands: [TensorType]) throws(OpError) -> [TensorType] {
      let (x1, x2, gamma) = (operands[0], operands[1], operands[2])
      try require(
        Ascend.computes(x1.dtype) && x1.dtype == x2.dtype && Ascend.widens(gamma.dtype, to: x1.dtype),
        "ascend.AddRmsNorm_c1", "x1 \(x1), x2 \(x2) and gamma \(gamma) have the wrong types")
      guard let last = x1.dims.last, x1.dims == x2.dims, gamma.isVector(of: last) else {
        throw OpError("ascend.AddRmsNorm_c2", "x1 \(x1), x2 \(x2) and gamma \(gamma) do not go together")
      }
      try require(epsilon >= 0, "ascend.AddRmsNorm_c3", "epsilon \(epsilon) is negative")
      return [x1, x1.rowStatistic, x1]
    }

    public func evaluate(_ operands: [Tensor]) throws -> [Tensor] {
      let sums = zip(operands[0].doubles, operands[1].doubles).map { $0 + $1 }
      let x = try Tensor(operands[0].dtype, shape: operands[0].shape, doubles: sums)
      return try RmsNorm(epsilon: epsilon).evaluate([x, operands[2]]) + [x]
    }
  }
}
