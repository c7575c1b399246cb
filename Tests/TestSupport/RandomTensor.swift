public import Tensors

extension Tensor {
  /// Floats of `[-scale, scale)`, rounded to the type.
  public static func random(
    _ dtype: DType, shape: [Int], scale: Double = 1, using generator: inout SplitMix64
  ) throws -> Tensor {
    let values = (0..<shape.reduce(1, *)).map { _ in Double(generator.signedUnit()) * scale }
    return try Tensor(dtype, shape: shape, doubles: values)
  }
}
