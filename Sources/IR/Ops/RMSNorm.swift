public import Tensors

/// `x / sqrt(mean(x^2) + epsilon) * weight` along the last dimension, rounded once. The weight is widened.
///
/// - C1: both operands are floating point; their types may differ.
/// - C2: weight is a vector as long as the last dimension of x.
/// - C3: epsilon is not negative.
public struct RMSNorm: Op {
  public static let schema = OpSchema(
    "rms_norm", operands: ["x", "weight"], foreign: [.onnx("RMSNormalization", since: 23)])
  public static let defaults: Attributes = ["epsilon": .float(1e-6)]
  public let epsilon: Double

  public init(epsilon: Double = 1e-6) { self.epsilon = epsilon }

  public func infer(_ operands: [TensorType]) throws(OpError) -> [TensorType] {
    let (x, weight) = (operands[0], operands[1])
    try require(
      x.dtype.isFloat && weight.dtype.isFloat, "rms_norm_c1", "operands must be floating point, got \(x) and \(weight)")
    guard let last = x.dims.last, weight.isVector(of: last) else {
      throw OpError("rms_norm_c2", "weight \(weight) does not go with \(x)")
    }
    try require(epsilon >= 0, "rms_norm_c3", "epsilon \(epsilon) is negative")
    return [x]
  }

  public func evaluate(_ operands: [Tensor]) throws -> [Tensor] {
    let x = operands[0]
    let rows = RMSNormRows(x, weight: operands[1].doubles, epsilon: epsilon)
    return [try Tensor(x.dtype, shape: x.shape, doubles: rows.y)]
  }
}
