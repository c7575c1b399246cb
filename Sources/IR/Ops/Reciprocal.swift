/// `1 / x`
public struct Reciprocal: UnaryFloat {
  public static let schema = OpSchema(
    "reciprocal", operands: ["x"], traits: [.elementwise],
    foreign: [.onnx("Reciprocal", since: 13), .mindIR("Reciprocal"), .ascend("Reciprocal")])
  public init() {}
  public func apply(_ x: Double) -> Double { 1 / x }
}
