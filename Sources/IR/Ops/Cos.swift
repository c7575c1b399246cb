/// The cosine of an angle in radians.
public struct Cos: UnaryFloat {
  public static let schema = OpSchema(
    "cos", operands: ["x"], traits: [.elementwise],
    foreign: [.onnx("Cos", since: 7), .mindIR("Cos"), .ascend("Cos")])
  public init() {}
  public func apply(_ x: Double) -> Double { cosine(x) }
}
