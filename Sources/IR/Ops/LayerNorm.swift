public import Tensors

/// `(x - mean) / sqrt(variance + epsilon) * weight + bias` along the last dimension, rounded once. Parameters are
/// widened.
///
/// - C1: all operands are floating point; their types may differ.
/// - C2: axis is the last dimension of x, which has one.
/// - C3: weight and bias are vectors as long as that dimension.
/// - C4: epsilon is not negative.
public struct LayerNorm: Op {
  public static let schema = OpSchema(
    "layer_norm", operands: ["x"], optional: ["weight", "bias"], foreign: [.onnx("LayerNormalization", since: 17)])
  public static let defaults: Attributes = ["axis": .int(-1), "epsilon": .float(1e-5)]
  public let axis: Int
  public let epsilon: Double

  public init(axis: Int = -1, epsilon: Double = 1e-5) {
    self.axis = axis
    self.epsilon = epsilon
  }

  public func infer(_ operands: [TensorType]) throws(OpError) -> [TensorType] {
    let x = operands[0]
    try require(
      operands.allSatisfy(\.dtype.isFloat), "layer_norm_c1", "operands must be floating point, got \(operands)")
    guard let last = x.dims.last, axis == -1 || axis == x.rank - 1 else {
      throw OpError("layer_norm_c2", "axis \(axis) is not the last dimension of \(x)")
    }
    try require(
      operands.dropFirst().allSatisfy { $0.isVector(of: last) }, "layer_norm_c3",
      "weight and bias \(operands.dropFirst()) do not go with \(x)")
    try require(epsilon >= 0, "layer_norm_c4", "epsilon \(epsilon) is negative")
    return [x]
  }

  public func evaluate(_ operands: [Tensor]) throws -> [Tensor] {
    let x = operands[0]
    let weight = operands.count > 1 ? operands[1].doubles : nil
    let bias = operands.count > 2 ? operands[2].doubles : nil
    let rows = LayerNormRows(x, weight: weight, bias: bias, epsilon: epsilon)
    return [try Tensor(x.dtype, shape: x.shape, doubles: rows.y)]
  }
}
