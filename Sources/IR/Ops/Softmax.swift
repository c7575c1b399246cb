public import Tensors

/// `exp(x - max) / sum(exp(x - max))` along `axis`.
///
/// - C1: x is floating point.
/// - C2: axis is a dimension of x; negative values count from the end.
public struct Softmax: Op {
  public static let schema = OpSchema(
    "softmax", operands: ["x"], foreign: [.onnx("Softmax", since: 13), .mindIR("Softmax"), .ascend("SoftmaxV2")])
  public static let defaults: Attributes = ["axis": .int(-1)]
  public let axis: Int

  public init(axis: Int = -1) { self.axis = axis }

  public func infer(_ operands: [TensorType]) throws(OpError) -> [TensorType] {
    let x = operands[0]
    try require(x.dtype.isFloat, "softmax_c1", "x must be floating point, got \(x)")
    try require(x.resolves(axis: axis), "softmax_c2", "axis \(axis) is not a dimension of \(x)")
    return [x]
  }

  public func evaluate(_ operands: [Tensor]) throws -> [Tensor] {
    let x = operands[0]
    var values = x.doubles
    x.forEachLine(along: x.type.resolved(axis: axis)) { line in
      let largest = line.reduce(-.infinity) { max($0, values[$1]) }
      var sum = 0.0
      for i in line {
        values[i] = exponential(values[i] - largest)
        sum += values[i]
      }
      for i in line { values[i] /= sum }
    }
    return [try Tensor(x.dtype, shape: x.shape, doubles: values)]
  }
}
