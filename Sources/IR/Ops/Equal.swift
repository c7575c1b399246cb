/// `a == b`, broadcasting; also of booleans.
public struct Equal: Comparison {
  public static let schema = OpSchema(
    "equal", operands: ["a", "b"], traits: [.elementwise, .commutative],
    foreign: [.onnx("Equal", since: 13), .mindIR("Equal"), .ascend("Equal")])
  public static let acceptsBooleans = true
  public init() {}
  public static func compare<T: Comparable>(_ a: T, _ b: T) -> Bool { a == b }
}
