/// `1 / (1 + exp(-x))`
public struct Sigmoid: UnaryFloat {
  public static let schema = OpSchema(
    "sigmoid", operands: ["x"], traits: [.elementwise],
    foreign: [.onnx("Sigmoid", since: 13), .mindIR("Sigmoid"), .ascend("Sigmoid")])
  public init() {}
  public func apply(_ x: Double) -> Double { logistic(x) }
}
