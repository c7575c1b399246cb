/// Whether `a` and `b` are true, broadcasting.
public struct And: Logical {
  public static let schema = OpSchema(
    "and", operands: ["a", "b"], traits: [.elementwise, .commutative],
    foreign: [.onnx("And", since: 7), .mindIR("LogicalAnd"), .ascend("LogicalAnd")])
  public init() {}
  public static func apply(_ a: Bool, _ b: Bool) -> Bool { a && b }
}
