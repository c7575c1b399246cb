/// `a / b`, broadcasting. Integers truncate towards zero; dividing them by zero is an error.
public struct Divide: BinaryArithmetic {
  public static let schema = OpSchema(
    "div", operands: ["a", "b"], traits: [.elementwise],
    foreign: [.onnx("Div", since: 14), .mindIR("Div"), .ascend("Div")])
  public init() {}
  public static func apply(_ a: Double, _ b: Double) -> Double { a / b }
  public static func apply<T: FixedWidthInteger>(_ a: T, _ b: T) -> T? {
    b == 0 ? nil : a.dividedReportingOverflow(by: b).partialValue
  }
}
