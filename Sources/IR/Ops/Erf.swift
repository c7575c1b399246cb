/// The error function.
public struct Erf: UnaryFloat {
  public static let schema = OpSchema(
    "erf", operands: ["x"], traits: [.elementwise],
    foreign: [.onnx("Erf", since: 13), .mindIR("Erf"), .ascend("Erf")])
  public init() {}
  public func apply(_ x: Double) -> Double { errorFunction(x) }
}
