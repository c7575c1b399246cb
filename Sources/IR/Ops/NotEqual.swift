/// `a != b`, broadcasting; also of booleans.
public struct NotEqual: Comparison {
  public static let schema = OpSchema(
    "not_equal", operands: ["a", "b"], traits: [.elementwise, .commutative],
    foreign: [.mindIR("NotEqual"), .ascend("NotEqual")])
  public static let acceptsBooleans = true
  public init() {}
  public static func compare<T: Comparable>(_ a: T, _ b: T) -> Bool { a != b }
}
