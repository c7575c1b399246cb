/// The nearest whole number, ties to even.
public struct Round: UnaryFloat {
  public static let schema = OpSchema(
    "round", operands: ["x"], traits: [.elementwise],
    foreign: [.onnx("Round", since: 11), .mindIR("Rint"), .ascend("Rint")])
  public init() {}
  public func apply(_ x: Double) -> Double { x.rounded(.toNearestOrEven) }
}
