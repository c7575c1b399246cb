package import Tensors

/// The fused operators of Ascend's graph engine, by their names there. They follow the kernels in what is rounded when.
public enum Ascend {
  /// The floating-point types that the operators compute with.
  package static func computes(_ dtype: DType) -> Bool { dtype == .float16 || dtype == .bfloat16 || dtype == .float32 }

  /// Whether a parameter's type goes with that of x: the same, or float32.
  static func widens(_ parameter: DType, to dtype: DType) -> Bool { parameter == dtype || parameter == .float32 }
}

extension TensorType {
  /// The type of one float32 statistic per row, `[…,1]`.
  var rowStatistic: TensorType { TensorType(.float32, dims.dropLast() + [1]) }
}

extension Tensor {
  /// A tensor of the type of one float32 statistic per row of `x`.
  static func rowStatistic(_ values: [Double], of x: Tensor) throws -> Tensor {
    try Tensor(.float32, shape: x.shape.dropLast() + [1], doubles: values)
  }
}
