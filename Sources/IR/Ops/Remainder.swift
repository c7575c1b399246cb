/// `a - floor(a / b) * b`, which has the sign of `b`, broadcasting. Integers by zero are an error.
public struct Remainder: BinaryArithmetic {
  public static let schema = OpSchema(
    "mod", operands: ["a", "b"], traits: [.elementwise],
    foreign: [.mindIR("FloorMod"), .ascend("FloorMod")])
  public init() {}
  public static func apply(_ a: Double, _ b: Double) -> Double {
    let rest = a.truncatingRemainder(dividingBy: b)
    return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest
  }
  public static func apply<T: FixedWidthInteger>(_ a: T, _ b: T) -> T? {
    guard b != 0 else { return nil }
    let rest = a.remainderReportingOverflow(dividingBy: b).partialValue
    return rest != 0 && (rest < 0) != (b < 0) ? rest &+ b : rest
  }
}
