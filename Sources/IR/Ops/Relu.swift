/// `max(x, 0)`; NaN for NaN.
public struct Relu: UnaryArithmetic {
  public static let schema = OpSchema(
    "relu", operands: ["x"], traits: [.elementwise],
    foreign: [.onnx("Relu", since: 14), .mindIR("ReLU"), .ascend("Relu")])
  public init() {}
  public static func apply(_ x: Double) -> Double { x < 0 ? 0 : x }
  public static func apply<T: FixedWidthInteger>(_ x: T) -> T { Swift.max(x, 0) }
}
