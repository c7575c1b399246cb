public import Tensors

extension Ascend {
  /// `x * transpose((weight + antiquant_offset) * antiquant_scale)`: whole numbers widened while they are multiplied.
  /// Each widened number is rounded to x's type, sums are float32.
  ///
  /// - C1: x is float16, bfloat16 or float32, weight int8 or int4.
  /// - C2: weight is a matrix [N,K], or of int4 also [N/2,K,2]: pairs of rows side by side; the last
  ///   dimension of x is K.
  /// - C3: antiquant_scale and antiquant_offset are float32 [N,G] where G divides K; each element goes with as many
  ///   neighbouring columns.
  public struct WeightQuantBatchMatmulV2: Op {
    public static let schema = OpSchema(
      "ascend.WeightQuantBatchMatmulV2", operands: ["x", "weight", "antiquant_scale", "antiquant_offset"],
      foreign: [.ascend("WeightQuantBatchMatmulV2")])

    public init() {}

    public func infer(_ operands: [TensorType]) throws(OpError) -> [TensorType] {
      let name = "ascend.WeightQuantBatchMatmulV2"
      let (x, weight, scale) = (operands[0], operands[1], operands[2])
      try require(
        Ascend.computes(x.dtype) && (weight.dtype == .int8 || weight.dtype == .int4), "\(name)_c1",
        "\(x) and \(weight) are not multiplied")
      guard let (rows, columns) = QuantizedRows.size(weight), let last = x.dims.last,
        unify(last, .known(columns)) != nil
      else { throw OpError("\(name)_c2", "\(x) does not go with weight \(weight)") }
      guard scale.dtype == .float32, scale.rank == 2, scale.dims[0] == .known(rows), operands[3] == scale,
        let groups = scale.dims[1].value, groups > 0, columns % groups == 0
      else { throw OpError("\(name)_c3", "scale \(scale) and offset \(operands[3]) do not go with weight \(weight)") }
      return [TensorType(x.dtype, x.dims.dropLast() + [.known(rows)])]
    }

    public func cost(_ operands: [TensorType], _ results: [TensorType]) -> OpCost {
      OpCost(
        operations: 2 * results[0].elementCount * operands[0].last(0), bytes: operands.byteCount + results.byteCount)
    }

    public func evaluate(_ operands: [Tensor]) throws -> [Tensor] {
      let weight = QuantizedRows(operands[1])
      let (scale, offset, groups) = (operands[2].floats, operands[3].floats, operands[2].shape[1])
      let size = weight.columns / groups
      let wide = (0..<weight.rows).flatMap { row in
        (0..<weight.columns).map { column -> Double in
          let place = row * groups + column / size
          return Double((Float(weight.values[row * weight.columns + column]) + offset[place]) * scale[place])
        }
      }
      let matrix = try Tensor(operands[0].dtype, shape: [weight.rows, weight.columns], doubles: wide)
      return try Linear().evaluate([operands[0], matrix])
    }
  }
}
