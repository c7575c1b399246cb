/// `a < b`, broadcasting.
public struct Less: Comparison {
  public static let schema = OpSchema(
    "less", operands: ["a", "b"], traits: [.elementwise],
    foreign: [.onnx("Less", since: 13), .mindIR("Less"), .ascend("Less")])
  public init() {}
  public static func compare<T: Comparable>(_ a: T, _ b: T) -> Bool { a < b }
}
