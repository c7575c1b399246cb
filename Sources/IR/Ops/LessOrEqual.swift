/// `a <= b`, broadcasting.
public struct LessOrEqual: Comparison {
  public static let schema = OpSchema(
    "less_equal", operands: ["a", "b"], traits: [.elementwise],
    foreign: [.onnx("LessOrEqual", since: 16), .mindIR("LessEqual"), .ascend("LessEqual")])
  public init() {}
  public static func compare<T: Comparable>(_ a: T, _ b: T) -> Bool { a <= b }
}
