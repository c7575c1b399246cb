/// The greater of `a` and `b`, broadcasting; NaN when either is.
public struct Maximum: BinaryArithmetic {
  public static let schema = OpSchema(
    "max", operands: ["a", "b"], traits: [.elementwise, .commutative],
    foreign: [.onnx("Max", since: 13), .mindIR("Maximum"), .ascend("Maximum")])
  public init() {}
  public static func apply(_ a: Double, _ b: Double) -> Double { a.isNaN || b.isNaN ? .nan : Swift.max(a, b) }
  public static func apply<T: FixedWidthInteger>(_ a: T, _ b: T) -> T? { Swift.max(a, b) }
}
