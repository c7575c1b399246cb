/// The square root; NaN below zero.
public struct Sqrt: UnaryFloat {
  public static let schema = OpSchema(
    "sqrt", operands: ["x"], traits: [.elementwise],
    foreign: [.onnx("Sqrt", since: 13), .mindIR("Sqrt"), .ascend("Sqrt")])
  public init() {}
  public func apply(_ x: Double) -> Double { x.squareRoot() }
}
