/// `e` to the power of `x`.
public struct Exp: UnaryFloat {
  public static let schema = OpSchema(
    "exp", operands: ["x"], traits: [.elementwise],
    foreign: [.onnx("Exp", since: 13), .mindIR("Exp"), .ascend("Exp")])
  public init() {}
  public func apply(_ x: Double) -> Double { exponential(x) }
}
