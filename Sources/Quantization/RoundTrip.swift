public import Tensors

/// What is left of numbers after they were quantized, in their own types.
public enum RoundTrip {
  /// A weight [outputs, inputs] with whole numbers of some bits and a scale for each output, by their range. Throws
  /// ``ErrorCode/weights`` for NaN and infinity.
  public static func weight(_ weight: Tensor, module: String, bits: Int) throws -> Tensor {
    let linear = try LinearWeight(module: module, weight.dtype, shape: weight.shape)
    let rows = WeightRows(linear, 0..<linear.rows, bytes: weight.bytes)
    let result = try WeightCodes.whole(rows, bits: bits)
    let scales = try result.scales.rounded(to: weight.dtype)
    var values = [Float](repeating: 0, count: linear.rows * linear.columns)
    for index in values.indices {
      values[index] = Float(Int8(bitPattern: result.codes[index])) * scales[index / linear.columns]
    }
    return try Tensor(values, shape: weight.shape).cast(to: weight.dtype)
  }

  /// An input with 8 bits and one scale by its own largest magnitude.
  public static func input(_ input: Tensor) throws -> Tensor {
    guard let (least, greatest) = try range(of: input.floats) else { return input }
    return try InputGrid(least: least, greatest: greatest, isSymmetric: true, dtype: input.dtype).roundTrip(input)
  }
}
