public import Tensors

extension Ascend {
  /// `round(x * scale + offset)` as int8, ties to even, saturated; each operation is rounded to x's type where that is
  /// float16, else to float32. NaN becomes 0.
  ///
  /// - C1: x is float16, bfloat16 or float32, scale and offset are floating point.
  /// - C2: scale and offset have one element each.
  public struct AscendQuantV2: Op {
    public static let schema = OpSchema(
      "ascend.AscendQuantV2", operands: ["x", "scale", "offset"], foreign: [.ascend("AscendQuantV2")])

    public init() {}

    public func infer(_ operands: [TensorType]) throws(OpError) -> [TensorType] {
      try require(
        Ascend.computes(operands[0].dtype) && operands[1].dtype.isFloat && operands[2].dtype.isFloat,
        "ascend.AscendQuantV2_c1", "the operands have the wrong types, \(operands)")
      try require(
        operands[1...].allSatisfy { $0.rank <= 1 && $0.dims.allSatisfy { $0 == .known(1) } },
        "ascend.AscendQuantV2_c2", "scale \(operands[1]) and offset \(operands[2]) are not single numbers")
      return [TensorType(.int8, operands[0].dims)]
    }

    public func evaluate(_ operands: [Tensor]) throws -> [Tensor] {
      let isHalf = operands[0].dtype == .float16
      func rounded(_ x: Float) -> Float { isHalf ? Float(Float16(x)) : x }
      let (scale, offset) = (rounded(operands[1].floats[0]), rounded(operands[2].floats[0]))
      let codes = operands[0].floats.map { x -> Int64 in
        let product = rounded(x * scale)
        let y = rounded(product + offset).rounded(.toNearestOrEven)
        return y.isNaN ? 0 : Int64(min(max(y, -128), 127))
      }
      return [try Tensor(.int8, shape: operands[0].shape, integers: codes)]
    }
  }
}
