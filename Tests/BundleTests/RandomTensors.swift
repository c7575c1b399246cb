import Tensors
import TestSupport

extension SplitMix64 {
  /// A tensor of numbers between -4 and 4.
  mutating func tensor(_ dtype: DType, _ shape: [Int]) throws -> Tensor {
    let count = shape.reduce(1, *)
    if dtype.isInteger {
      return try Tensor(dtype, shape: shape, integers: (0..<count).map { _ in Int64.random(in: -8...7, using: &self) })
    }
    return try Tensor(dtype, shape: shape, doubles: (0..<count).map { _ in Double.random(in: -4...4, using: &self) })
  }
}
