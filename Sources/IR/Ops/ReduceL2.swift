/// The length of vectors along `axes`: the square root of the sum of squares.
public struct ReduceL2: Reduction {
  public static let schema = OpSchema("reduce_l2", operands: ["x"])
  public static let acceptsIntegers = false
  public let axes: [Int]
  public let keepDims: Bool

  public init(axes: [Int], keepDims: Bool = true) {
    self.axes = axes
    self.keepDims = keepDims
  }

  public static func reduce(_ values: [Double]) -> Double { values.reduce(0) { $0 + $1 * $1 }.squareRoot() }
  public static func reduce<T: FixedWidthInteger>(_ values: [T]) -> T? { nil }
}
