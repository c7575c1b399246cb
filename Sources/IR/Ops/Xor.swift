/// Whether one of `a` and `b` is true and the other is not, broadcasting.
public struct Xor: Logical {
  public static let schema = OpSchema(
    "xor", operands: ["a", "b"], traits: [.elementwise, .commutative],
    foreign: [.onnx("Xor", since: 7), .mindIR("LogicalXor")])
  public init() {}
  public static func apply(_ a: Bool, _ b: Bool) -> Bool { a != b }
}
