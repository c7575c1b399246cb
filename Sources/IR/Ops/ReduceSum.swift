/// The sum along `axes`; integers wrap around.
public struct ReduceSum: Reduction {
  public static let schema = OpSchema("reduce_sum", operands: ["x"], foreign: [.ascend("ReduceSumD")])
  public let axes: [Int]
  public let keepDims: Bool

  public init(axes: [Int], keepDims: Bool = true) {
    self.axes = axes
    self.keepDims = keepDims
  }

  public static func reduce(_ values: [Double]) -> Double { values.reduce(0, +) }
  public static func reduce<T: FixedWidthInteger>(_ values: [T]) -> T? { values.reduce(0, &+) }
}
