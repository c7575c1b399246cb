/// `a >= b`, broadcasting.
public struct GreaterOrEqual: Comparison {
  public static let schema = OpSchema(
    "greater_equal", operands: ["a", "b"], traits: [.elementwise],
    foreign: [.onnx("GreaterOrEqual", since: 16), .mindIR("GreaterEqual"), .ascend("GreaterEqual")])
  public init() {}
  public static func compare<T: Comparable>(_ a: T, _ b: T) -> Bool { a >= b }
}
