/// The least whole number that is not below `x`.
public struct Ceil: UnaryFloat {
  public static let schema = OpSchema(
    "ceil", operands: ["x"], traits: [.elementwise],
    foreign: [.onnx("Ceil", since: 13), .mindIR("Ceil"), .ascend("Ceil")])
  public init() {}
  public func apply(_ x: Double) -> Double { x.rounded(.up) }
}
