public import Tensors

extension Ascend {
  /// Rows of x quantized by their largest magnitude, and the scale of each row: `x = y * scale`, computed in float32.
  ///
  /// `scale = largest * (1 / limit)`, and `y = round(x * (limit / largest))`, ties to even; with `divides`
  /// `y = round(x / scale)`, as Ascend 950 has it. A row of zeros has the scale 0. In a row with NaN or infinity all of
  /// y is 0, and so its product with the scale NaN.
  ///
  /// - C1: x is float16, bfloat16 or float32 and has a dimension.
  /// - C2: dtype and limit are int8 and 127, int8 and 7, or float8 e4m3 and 448.
  public struct DynamicQuant: Op {
    public static let schema = OpSchema("ascend.DynamicQuant", operands: ["x"], foreign: [.ascend("DynamicQuant")])
    public static let defaults: Attributes = [
      "dtype": .string("i8"), "limit": .int(127), "divides": .bool(false),
    ]
    public let dtype: DType
    public let limit: Int
    public let divides: Bool

    public init(dtype: DType = .int8, limit: Int = 127, divides: Bool = false) {
      self.dtype = dtype
      self.limit = limit
      self.divides = divides
    }

    public func infer(_ operands: [TensorType]) throws(OpError) -> [TensorType] {
      let x = operands[0]
      try require(
        Ascend.computes(x.dtype) && x.rank > 0, "ascend.DynamicQuant_c1", "x has the wrong type, \(x)")
      try require(
        dtype == .int8 && (limit == 127 || limit == 7) || dtype == .float8e4m3fn && limit == 448,
        "ascend.DynamicQuant_c2", "\(dtype) up to \(limit) is not quantized to")
      return [TensorType(dtype, x.dims), x.rowStatistic]
    }

    public func evaluate(_ operands: [Tensor]) throws -> [Tensor] {
      let (x, width) = (operands[0].floats, operands[0].shape[operands[0].rank - 1])
      let (limit, step) = (Float(limit), 1 / Float(limit))
      let rows = operands[0].shape.dropLast().reduce(1, *)
      var codes: [Double] = []
      codes.reserveCapacity(x.count)
      let scales = (0..<rows).map { row -> Double in
        let values = x[row * width..<(row + 1) * width]
        let largest = values.largestMagnitude
        let (scale, factor) = (largest * step, limit / largest)
        guard largest > 0, largest.isFinite, factor.isFinite else {
          codes += [Double](repeating: 0, count: width)
          return largest.isFinite ? 0 : .nan
        }
        codes += values.map { value in
          let quotient = divides ? value / scale : value * factor
          let bounded = min(max(quotient, -limit), limit)
          return Double(dtype.isInteger ? bounded.rounded(.toNearestOrEven) : bounded)
        }
        return Double(scale)
      }
      return [
        try Tensor(dtype, shape: operands[0].shape, doubles: codes), try .rowStatistic(scales, of: operands[0]),
      ]
    }
  }
}

extension ArraySlice<Float> {
  /// The largest magnitude, NaN where there is one, 0 of nothing.
  var largestMagnitude: Float {
    reduce(0) { $0.isNaN || $1.isNaN ? .nan : Swift.max($0, abs($1)) }
  }
}
