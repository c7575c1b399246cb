internal import Glibc
public import Tensors

/// Numbers from the standard normal distribution, the same for the same seed on every machine's IEEE arithmetic.
///
/// SplitMix64 from the seed gives pairs of numbers u and v of [0, 1), 53 bits each; every pair gives
/// `r cos 2πv` and `r sin 2πv` with `r = √(-2 ln(1 - u))`, in double precision, rounded to float32.
///
/// Source: Box and Muller, "A Note on the Generation of Random Normal Deviates", 1958.
public enum NormalNoise {
  /// A tensor filled in row-major order.
  public static func tensor(shape: [Int], seed: UInt64) -> Tensor {
    let count = shape.reduce(1, *)
    var random = SplitMix64(state: seed)
    var values: [Float] = []
    values.reserveCapacity(count + 1)
    while values.count < count {
      let radius = (-2 * log(1 - random.unit())).squareRoot()
      let angle = 2 * Double.pi * random.unit()
      values.append(Float(radius * cos(angle)))
      values.append(Float(radius * sin(angle)))
    }
    return Tensor(Array(values.prefix(count)), shape: shape)
  }
}
