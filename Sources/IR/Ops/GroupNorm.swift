public import Tensors

/// `(x - mean) / sqrt(variance + epsilon) * weight + bias` for x [N,C,…], where the mean and the variance are those of
/// C/groups neighbouring channels with all that follows, and weight and bias belong to channels. Rounded once.
///
/// - C1: all operands are floating point; their types may differ.
/// - C2: x has at least two dimensions; groups is above zero and divides the channels, which are known.
/// - C3: weight and bias are vectors of C numbers.
/// - C4: epsilon is not negative.
public struct GroupNorm: Op {
  public static let schema = OpSchema(
    "group_norm", operands: ["x"], optional: ["weight", "bias"],
    foreign: [.onnx("GroupNormalization", since: 21), .ascend("GroupNorm")])
  public static let defaults: Attributes = ["epsilon": .float(1e-5)]
  public let groups: Int
  public let epsilon: Double

  public init(groups: Int, epsilon: Double = 1e-5) {
    self.groups = groups
    self.epsilon = epsilon
  }

  public func infer(_ operands: [TensorType]) throws(OpError) -> [TensorType] {
    let x = operands[0]
    try require(
      operands.allSatisfy(\.dtype.isFloat), "group_norm_c1", "operands must be floating point, got \(operands)")
    guard x.rank >= 2, let channels = x.dims[1].value, groups > 0, channels % groups == 0 else {
      throw OpError("group_norm_c2", "the channels of \(x) do not fall into \(groups) groups")
    }
    try require(
      operands.dropFirst().allSatisfy { $0.isVector(of: .known(channels)) }, "group_norm_c3",
      "weight and bias \(operands.dropFirst()) do not go with \(x)")
    try require(epsilon >= 0, "group_norm_c4", "epsilon \(epsilon) is negative")
    return [x]
  }

  public func evaluate(_ operands: [Tensor]) throws -> [Tensor] {
    let x = operands[0]
    let (batch, channels) = (x.shape[0], x.shape[1])
    let size = x.shape.dropFirst(2).reduce(1, *)
    let rows = try Tensor(.float64, shape: [batch * groups, channels / groups * size], doubles: x.doubles)
    var values = LayerNormRows(rows, weight: nil, bias: nil, epsilon: epsilon).y
    let weight = operands.count > 1 ? operands[1].doubles : [Double](repeating: 1, count: channels)
    let bias = operands.count > 2 ? operands[2].doubles : [Double](repeating: 0, count: channels)
    for k in values.indices {
      let channel = k / max(size, 1) % channels
      values[k] = values[k] * weight[channel] + bias[channel]
    }
    return [try Tensor(x.dtype, shape: x.shape, doubles: values)]
  }
}
