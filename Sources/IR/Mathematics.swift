import Glibc

// The functions that operators' meanings use, by full names, so that only this file imports the C library.
package func exponential(_ x: Double) -> Double { exp(x) }
package func naturalLogarithm(_ x: Double) -> Double { log(x) }
package func errorFunction(_ x: Double) -> Double { erf(x) }
package func complementaryErrorFunction(_ x: Double) -> Double { erfc(x) }
package func hyperbolicTangent(_ x: Double) -> Double { tanh(x) }
package func sine(_ x: Double) -> Double { sin(x) }
package func cosine(_ x: Double) -> Double { cos(x) }
package func raised(_ x: Double, _ y: Double) -> Double { pow(x, y) }

/// `1 / (1 + exp(-x))`
package func logistic(_ x: Double) -> Double { 1 / (1 + exponential(-x)) }

/// `x / 2 * erfc(-x / sqrt(2))`, which is `x * Phi(x)` without cancellation.
package func gaussianErrorUnit(_ x: Double) -> Double { x * 0.5 * complementaryErrorFunction(-x * 0.5.squareRoot()) }

/// `x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3)))`
package func gaussianErrorUnitTanh(_ x: Double) -> Double {
  x * 0.5 * (1 + hyperbolicTangent((2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)))
}
