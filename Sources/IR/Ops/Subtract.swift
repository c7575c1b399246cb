/// `a - b`, broadcasting; integers wrap around.
public struct Subtract: BinaryArithmetic {
  public static let schema = OpSchema(
    "sub", operands: ["a", "b"], traits: [.elementwise],
    foreign: [.onnx("Sub", since: 14), .mindIR("Sub"), .ascend("Sub")])
  public init() {}
  public static func apply(_ a: Double, _ b: Double) -> Double { a - b }
  public static func apply<T: FixedWidthInteger>(_ a: T, _ b: T) -> T? { a &- b }
}
