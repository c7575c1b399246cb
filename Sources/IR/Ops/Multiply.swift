/// `a * b`, broadcasting; integers wrap around.
public struct Multiply: BinaryArithmetic {
  public static let schema = OpSchema(
    "mul", operands: ["a", "b"], traits: [.elementwise, .commutative],
    foreign: [.onnx("Mul", since: 14), .mindIR("Mul"), .ascend("Mul")])
  public init() {}
  public static func apply(_ a: Double, _ b: Double) -> Double { a * b }
  public static func apply<T: FixedWidthInteger>(_ a: T, _ b: T) -> T? { a &* b }
}
