/// `1 / sqrt(x)`
public struct Rsqrt: UnaryFloat {
  public static let schema = OpSchema(
    "rsqrt", operands: ["x"], traits: [.elementwise],
    foreign: [.mindIR("Rsqrt"), .ascend("Rsqrt")])
  public init() {}
  public func apply(_ x: Double) -> Double { 1 / x.squareRoot() }
}
