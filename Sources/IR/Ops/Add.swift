/// `a + b`, broadcasting; integers wrap around.
public struct Add: BinaryArithmetic {
  public static let schema = OpSchema(
    "add", operands: ["a", "b"], traits: [.elementwise, .commutative],
    foreign: [.onnx("Add", since: 14), .mindIR("Add"), .ascend("Add")])
  public init() {}
  public static func apply(_ a: Double, _ b: Double) -> Double { a + b }
  public static func apply<T: FixedWidthInteger>(_ a: T, _ b: T) -> T? { a &+ b }
}
