/// `-x`; integers wrap around.
public struct Negate: UnaryArithmetic {
  public static let schema = OpSchema(
    "neg", operands: ["x"], traits: [.elementwise],
    foreign: [.onnx("Neg", since: 13), .mindIR("Neg"), .ascend("Neg")])
  public init() {}
  public static func apply(_ x: Double) -> Double { -x }
  public static func apply<T: FixedWidthInteger>(_ x: T) -> T { 0 &- x }
}
