/// The product along `axes`; integers wrap around.
public struct ReduceProduct: Reduction {
  public static let schema = OpSchema("reduce_product", operands: ["x"], foreign: [.ascend("ReduceProdD")])
  public let axes: [Int]
  public let keepDims: Bool

  public init(axes: [Int], keepDims: Bool = true) {
    self.axes = axes
    self.keepDims = keepDims
  }

  public static func reduce(_ values: [Double]) -> Double { values.reduce(1, *) }
  public static func reduce<T: FixedWidthInteger>(_ values: [T]) -> T? { values.reduce(1, &*) }
}
