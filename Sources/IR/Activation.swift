/// The function that ends a fused operator.
public enum Activation: String, Sendable, Codable, Hashable, CaseIterable {
  case none
  case relu
  /// `x * Phi(x)`, by the error function.
  case gelu
  /// The approximation of ``gelu`` by a hyperbolic tangent.
  case geluTanh = "gelu_tanh"
  /// `x / (1 + exp(-x))`
  case silu
  case tanh

  package func callAsFunction(_ x: Double) -> Double {
    switch self {
    case .none: x
    case .relu: x < 0 ? 0 : x
    case .gelu: gaussianErrorUnit(x)
    case .geluTanh: gaussianErrorUnitTanh(x)
    case .silu: x / (1 + exponential(-x))
    case .tanh: hyperbolicTangent(x)
    }
  }
}
