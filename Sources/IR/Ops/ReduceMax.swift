/// The greatest along `axes`, NaN when one is; of no elements -infinity. No whole numbers are an error.
public struct ReduceMax: Reduction {
  public static let schema = OpSchema("reduce_max", operands: ["x"], foreign: [.ascend("ReduceMaxD")])
  public let axes: [Int]
  public let keepDims: Bool

  public init(axes: [Int], keepDims: Bool = true) {
    self.axes = axes
    self.keepDims = keepDims
  }

  public static func reduce(_ values: [Double]) -> Double { values.reduce(-.infinity) { Maximum.apply($0, $1) } }
  public static func reduce<T: FixedWidthInteger>(_ values: [T]) -> T? { values.max() }
}
