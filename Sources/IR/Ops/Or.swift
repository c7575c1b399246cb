/// Whether `a` or `b` is true, broadcasting.
public struct Or: Logical {
  public static let schema = OpSchema(
    "or", operands: ["a", "b"], traits: [.elementwise, .commutative],
    foreign: [.onnx("Or", since: 7), .mindIR("LogicalOr"), .ascend("LogicalOr")])
  public init() {}
  public static func apply(_ a: Bool, _ b: Bool) -> Bool { a || b }
}
