/// The greatest whole number that is not above `x`.
public struct Floor: UnaryFloat {
  public static let schema = OpSchema(
    "floor", operands: ["x"], traits: [.elementwise],
    foreign: [.onnx("Floor", since: 13), .mindIR("Floor"), .ascend("Floor")])
  public init() {}
  public func apply(_ x: Double) -> Double { x.rounded(.down) }
}
