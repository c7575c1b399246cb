public import Tensors

extension Ascend {
  /// `y = (x - mean) * rstd * gamma + beta` with `rstd = 1 / sqrt(variance + epsilon)` along the last dimension; y is
  /// rounded once. The results are y, mean and rstd. `normalized_shape` is the last dimension.
  ///
  /// - C1: x is float16, bfloat16 or float32; gamma and beta have one type, that or float32.
  /// - C2: x has a dimension, and gamma and beta are vectors as long as its last.
  /// - C3: epsilon is not negative.
  public struct LayerNormV4: Op {
    public static let schema = OpSchema(
      "ascend.LayerNormV4", operands: ["x"], optional: ["gamma", "beta"], foreign: [.ascend("LayerNormV4")])
    public static let defaults: Attributes = ["epsilon": .float(1e-5)]
    public let epsilon: Double

    public init(epsilon: Double = 1e-5) { self.epsilon = epsilon }

    public func infer(_ operands: [TensorType]) throws(OpError) -> [TensorType] {
      let (x, parameters) = (operands[0], operands.dropFirst())
      try require(
        Ascend.computes(x.dtype)
          && parameters.allSatisfy { Ascend.widens($0.dtype, to: x.dtype) && $0.dtype == operands[1].dtype },
        "ascend.LayerNormV4_c1", "operands have the wrong types, \(operands)")
      guard let last = x.dims.last, parameters.allSatisfy({ $0.isVector(of: last) }) else {
        throw OpError("ascend.LayerNormV4_c2", "gamma and beta \(parameters) do not go with \(x)")
      }
      try require(epsilon >= 0, "ascend.LayerNormV4_c3", "epsilon \(epsilon) is negative")
      return [x, x.rowStatistic, x.rowStatistic]
    }

    public func evaluate(_ operands: [Tensor]) throws -> [Tensor] {
      let x = operands[0]
      let gamma = operands.count > 1 ? operands[1].doubles : nil
      let beta = operands.count > 2 ? operands[2].doubles : nil
      let rows = LayerNormRows(x, weight: gamma, bias: beta, epsilon: epsilon)
      return [
        try Tensor(x.dtype, shape: x.shape, doubles: rows.y), try .rowStatistic(rows.mean, of: x),
        try .rowStatistic(rows.rstd, of: x),
      ]
    }
  }
}
