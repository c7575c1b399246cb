/// The lesser of `a` and `b`, broadcasting; NaN when either is.
public struct Minimum: BinaryArithmetic {
  public static let schema = OpSchema(
    "min", operands: ["a", "b"], traits: [.elementwise, .commutative],
    foreign: [.onnx("Min", since: 13), .mindIR("Minimum"), .ascend("Minimum")])
  public init() {}
  public static func apply(_ a: Double, _ b: Double) -> Double { a.isNaN || b.isNaN ? .nan : Swift.min(a, b) }
  public static func apply<T: FixedWidthInteger>(_ a: T, _ b: T) -> T? { Swift.min(a, b) }
}
