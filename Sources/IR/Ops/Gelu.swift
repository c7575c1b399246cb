/// `x * Phi(x)` with the normal distribution function `Phi`: `x / 2 * (1 + erf(x / sqrt(2)))`, or
/// `x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3)))`.
public struct Gelu: UnaryFloat {
  public enum Approximation: String, Sendable, Codable {
    case none
    case tanh
  }

  public static let schema = OpSchema(
    "gelu", operands: ["x"], traits: [.elementwise], foreign: [.onnx("Gelu", since: 20)])
  public static let defaults: Attributes = ["approximation": .string("none")]
  public let approximation: Approximation

  public init(approximation: Approximation = .none) { self.approximation = approximation }

  public func apply(_ x: Double) -> Double { approximation == .none ? gaussianErrorUnit(x) : gaussianErrorUnitTanh(x) }
}
