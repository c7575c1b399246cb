/// The least along `axes`, NaN when one is; of no elements infinity. No whole numbers are an error.
public struct ReduceMin: Reduction {
  public static let schema = OpSchema("reduce_min", operands: ["x"], foreign: [.ascend("ReduceMinD")])
  public let axes: [Int]
  public let keepDims: Bool

  public init(axes: [Int], keepDims: Bool = true) {
    self.axes = axes
    self.keepDims = keepDims
  }

  public static func reduce(_ values: [Double]) -> Double { values.reduce(.infinity) { Minimum.apply($0, $1) } }
  public static func reduce<T: FixedWidthInteger>(_ values: [T]) -> T? { values.min() }
}
