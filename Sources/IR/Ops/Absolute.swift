/// The magnitude of `x`; integers wrap around.
public struct Absolute: UnaryArithmetic {
  public static let schema = OpSchema(
    "abs", operands: ["x"], traits: [.elementwise],
    foreign: [.onnx("Abs", since: 13), .mindIR("Abs"), .ascend("Abs")])
  public init() {}
  public static func apply(_ x: Double) -> Double { x.magnitude }
  public static func apply<T: FixedWidthInteger>(_ x: T) -> T { x < 0 ? 0 &- x : x }
}
