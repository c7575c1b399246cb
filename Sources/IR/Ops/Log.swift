/// The natural logarithm; NaN below zero.
public struct Log: UnaryFloat {
  public static let schema = OpSchema(
    "log", operands: ["x"], traits: [.elementwise],
    foreign: [.onnx("Log", since: 13), .mindIR("Log"), .ascend("Log")])
  public init() {}
  public func apply(_ x: Double) -> Double { naturalLogarithm(x) }
}
