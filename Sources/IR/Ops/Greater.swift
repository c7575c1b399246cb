/// `a > b`, broadcasting.
public struct Greater: Comparison {
  public static let schema = OpSchema(
    "greater", operands: ["a", "b"], traits: [.elementwise],
    foreign: [.onnx("Greater", since: 13), .mindIR("Greater"), .ascend("Greater")])
  public init() {}
  public static func compare<T: Comparable>(_ a: T, _ b: T) -> Bool { a > b }
}
