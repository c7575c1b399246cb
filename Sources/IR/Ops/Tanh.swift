/// The hyperbolic tangent.
public struct Tanh: UnaryFloat {
  public static let schema = OpSchema(
    "tanh", operands: ["x"], traits: [.elementwise],
    foreign: [.onnx("Tanh", since: 13), .mindIR("Tanh"), .ascend("Tanh")])
  public init() {}
  public func apply(_ x: Double) -> Double { hyperbolicTangent(x) }
}
