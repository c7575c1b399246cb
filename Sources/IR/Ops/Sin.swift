/// The sine of an angle in radians.
public struct Sin: UnaryFloat {
  public static let schema = OpSchema(
    "sin", operands: ["x"], traits: [.elementwise],
    foreign: [.onnx("Sin", since: 7), .mindIR("Sin"), .ascend("Sin")])
  public init() {}
  public func apply(_ x: Double) -> Double { sine(x) }
}
