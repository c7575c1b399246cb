/// `x / (1 + exp(-x))`
public struct Silu: UnaryFloat {
  public static let schema = OpSchema(
    "silu", operands: ["x"], traits: [.elementwise],
    foreign: [.mindIR("SiLU"), .ascend("Swish")])
  public init() {}
  public func apply(_ x: Double) -> Double { Activation.silu(x) }
}
