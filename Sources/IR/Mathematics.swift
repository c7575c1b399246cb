import Glibc

// The functions that operators' meanings use, by full names, so that only this file imports the C library.
package func exponential(_ x: Double) -> Double { exp(x) }
package func naturalLogarithm(_ x: Double) -> Double { log(x) }
package func errorFunction(_ x: Double) -> Double { erf(x) }
package func hyperbolicTangent(_ x: Double) -> Double { tanh(x) }
package func sine(_ x: Double) -> Double { sin(x) }
package func cosine(_ x: Double) -> Double { cos(x) }
package func raised(_ x: Double, _ y: Double) -> Double { pow(x, y) }
