/// The sum along `axes` by the number of elements; NaN when there are none.
public struct ReduceMean: Reduction {
  public static let schema = OpSchema("reduce_mean", operands: ["x"], foreign: [.ascend("ReduceMeanD")])
  public static let acceptsIntegers = false
  public let axes: [Int]
  public let keepDims: Bool

  public init(axes: [Int], keepDims: Bool = true) {
    self.axes = axes
    self.keepDims = keepDims
  }

  public static func reduce(_ values: [Double]) -> Double { values.reduce(0, +) / Double(values.count) }
  public static func reduce<T: FixedWidthInteger>(_ values: [T]) -> T? { nil }
}
