/// `a` to the power of `b`, broadcasting. Integers wrap around; a negative exponent of theirs is an error.
public struct Power: BinaryArithmetic {
  public static let schema = OpSchema(
    "pow", operands: ["a", "b"], traits: [.elementwise],
    foreign: [.onnx("Pow", since: 15), .mindIR("Pow"), .ascend("Pow")])
  public init() {}
  public static func apply(_ a: Double, _ b: Double) -> Double { raised(a, b) }
  public static func apply<T: FixedWidthInteger>(_ a: T, _ b: T) -> T? {
    guard b >= 0 else { return nil }
    var (result, square, rest) = (T(1), a, b)
    while rest > 0 {
      if rest & 1 == 1 { result &*= square }
      square &*= square
      rest >>= 1
    }
    return result
  }
}
