import Glibc
import Tensors

/// Powers of the elements of a vector as PyTorch takes them on a CPU.
///
/// Of float32 whole blocks of 32 are by SLEEF's function with a float32 exponent, the rest by one in double precision.
/// Of 16 bits the exponent is rounded to the type too; reciprocal roots of bfloat16 behind the last whole block of 64
/// are rounded twice. Source: PyTorch 2.15, PowKernel.cpp.
enum RoundedPower {
  static func of(_ values: [Float], _ exponent: Double, _ dtype: DType) -> [Float] {
    if exponent == 0 { return values.map { _ in 1 } }
    if exponent == 1 { return values }
    func all(_ power: (Float) -> Float) -> [Float] { values.map { WeightCodes.round(power($0), to: dtype) } }
    if exponent == 0.5 { return all { $0.squareRoot() } }
    if exponent == -1 { return all { 1 / $0 } }
    let isReciprocalRoot = exponent == -0.5
    if dtype.bits == 16 {
      let rounded = WeightCodes.round(Float(exponent), to: dtype)
      let whole = dtype == .bfloat16 ? values.count / 64 * 64 : values.count
      return values.enumerated().map { index, value in
        guard isReciprocalRoot, index >= whole else { return WeightCodes.round(powf(value, rounded), to: dtype) }
        return WeightCodes.round(1 / WeightCodes.round(value.squareRoot(), to: dtype), to: dtype)
      }
    }
    if isReciprocalRoot { return all { 1 / $0.squareRoot() } }
    let whole = values.count / 32 * 32
    return values.enumerated().map { index, value in
      index < whole ? SleefPower.of(value, Float(exponent)) : Float(pow(Double(value), exponent))
    }
  }
}

/// `x^y` for x of at least 0 by logarithm and exponential on pairs of float32, whose sum is the value; 1 ulp.
///
/// Source: SLEEF's `powf` of 1 ulp with fused operations (Shibata and Petrogalli, IEEE TPDS 2019).
private enum SleefPower {
  /// The value is `high + low`.
  private struct Pair {
    var high: Float
    var low: Float

    init(_ high: Float, _ low: Float = 0) { (self.high, self.low) = (high, low) }

    /// The exact sum of two numbers.
    init(sum a: Float, _ b: Float) {
      high = a + b
      let part = high - a
      low = (a - (high - part)) + (b - part)
    }

    static func + (a: Pair, b: Pair) -> Pair {
      let high = a.high + b.high
      return Pair(high, a.high - high + b.high + a.low + b.low)
    }
    static func * (a: Pair, b: Pair) -> Pair {
      let high = a.high * b.high
      return Pair(high, fused(a.high, b.low, fused(a.low, b.high, fused(a.high, b.high, -high))))
    }
    static func * (a: Pair, b: Float) -> Pair {
      let high = a.high * b
      return Pair(high, fused(a.low, b, fused(a.high, b, -high)))
    }
    static func / (a: Pair, b: Pair) -> Pair {
      let reciprocal = 1 / b.high
      let high = a.high * reciprocal
      let left = fused(reciprocal, a.high, -high)
      let rest = fused(-b.low, reciprocal, fused(-b.high, reciprocal, 1))
      return Pair(high, fused(high, rest, fused(a.low, reciprocal, left)))
    }
    var squared: Pair {
      let square = high * high
      return Pair(square, fused(high + high, low, fused(high, high, -square)))
    }
    func adding(_ other: Float) -> Pair {
      let sum = Pair(sum: high, other)
      return Pair(sum.high, sum.low + low)
    }
    var normalized: Pair {
      let sum = high + low
      return Pair(sum, high - sum + low)
    }
  }

  private static func fused(_ a: Float, _ b: Float, _ c: Float) -> Float { c.addingProduct(a, b) }

  static func of(_ x: Float, _ y: Float) -> Float {
    guard x > 0, x.isFinite else { return powf(x, y) }
    return exponential(logarithm(x) * y)
  }

  private static func logarithm(_ x: Float) -> Pair {
    // x = m * 2^e with m in 0.75..<1.5.
    let e = (x * (1 / 0.75)).exponent
    let m = Float(sign: .plus, exponent: -Int(e), significand: x)
    let t = Pair(sum: -1, m) / Pair(sum: 1, m)
    let square = t.squared
    var p: Float = 0.240320354700088500976562
    p = fused(p, square.high, 0.285112679004669189453125)
    p = fused(p, square.high, 0.400007992982864379882812)
    let c = Pair(0.66666662693023681640625, 3.69183861259614332084311e-09)
    let sum = Pair(0.69314718246459960938, -1.904654323148236017e-09) * Float(e) + Pair(t.high * 2, t.low * 2)
    return sum + square * t * (square * p + c)
  }

  private static func exponential(_ x: Pair) -> Float {
    guard x.high >= -104 else { return 0 }
    let n = ((x.high + x.low) * 1.442695040888963407).rounded(.toNearestOrEven)
    let r = x.adding(n * -0.693145751953125).adding(n * -1.428606765330187045e-06).normalized
    var p: Float = 0.00136324646882712841033936
    for c: Float in [
      0.00836596917361021041870117, 0.0416710823774337768554688, 0.166665524244308471679688, 0.499999850988388061523438,
    ] { p = fused(p, r.high, c) }
    let t = r + r.squared * p
    let sum = 1 + t.high
    return Float(sign: .plus, exponent: Int(n), significand: sum + (1 - sum + t.high + t.low))
  }
}
