public import Tensors

/// Elementwise functions of a floating-point number.
///
/// - C1: x is floating point.
public protocol UnaryFloat: Op {
  func apply(_ x: Double) -> Double
}

extension UnaryFloat {
  public func infer(_ operands: [TensorType]) throws(OpError) -> [TensorType] {
    try require(operands[0].dtype.isFloat, "\(Self.name)_c1", "x must be floating point, got \(operands[0])")
    return operands
  }

  public func evaluate(_ operands: [Tensor]) throws -> [Tensor] {
    let x = operands[0]
    return [try Tensor(x.dtype, shape: x.shape, doubles: x.doubles.map(apply))]
  }
}
