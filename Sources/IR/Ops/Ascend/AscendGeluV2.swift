public import Tensors

extension Ascend {
  /// `x * Phi(x)` with the normal distribution function `Phi`, or its approximation by a hyperbolic tangent.
  ///
  /// - C1: x is float16, bfloat16 or float32.
  public struct GeluV2: Op {
    public static let schema = OpSchema(
      "ascend.GeluV2", operands: ["x"], traits: [.elementwise], foreign: [.ascend("GeluV2")])
    public static let defaults: Attributes = ["approximate": .string("none")]
    public let approximate: Gelu.Approximation

    public init(approximate: Gelu.Approximation = .none) { self.approximate = approximate }

    public func infer(_ operands: [TensorType]) throws(OpError) -> [TensorType] {
      try require(Ascend.computes(operands[0].dtype), "ascend.GeluV2_c1", "x has the wrong type, \(operands[0])")
      return operands
    }

    public func evaluate(_ operands: [Tensor]) throws -> [Tensor] {
      try Gelu(approximation: approximate).evaluate(operands)
    }
  }
}
