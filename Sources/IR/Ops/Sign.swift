/// -1, 0 or 1 as `x` is below, at or above zero; NaN for NaN.
public struct Sign: UnaryArithmetic {
  public static let schema = OpSchema(
    "sign", operands: ["x"], traits: [.elementwise],
    foreign: [.onnx("Sign", since: 13), .mindIR("Sign"), .ascend("Sign")])
  public init() {}
  public static func apply(_ x: Double) -> Double { x > 0 ? 1 : x < 0 ? -1 : x }
  public static func apply<T: FixedWidthInteger>(_ x: T) -> T { x.signum() }
}
