public import Tensors

/// The weight that quantized tensors stand for, in float32: what passes turn into a quantized product.
///
/// `codes * scale`, with an offset of the codes where the scheme has one, which `W8A16` adds and others subtract; scale
/// has one element for each of G runs of a row's columns, or for blocks of 32. What else a scheme has belongs to the
/// products, not to the weight.
///
/// - C1: there are as many operands as the scheme has.
/// - C2: codes are [N,K] in the scheme's type, or of int4 also [N/2,K,2]: pairs of rows side by side.
/// - C3: scale and offset are float32 [N,G] where G divides K, or with blocks float8 e8m0 [N,ceil(K/32)].
/// - C4: of static schemes deq_scale is float32 [N,1], input_scale and input_offset are single numbers in float32, and
///   quant_bias is int32 [N].
public struct QuantizedWeight: Op {
  public static let schema = OpSchema(
    "quantized_weight", operands: ["codes", "scale"],
    optional: ["offset", "deq_scale", "input_scale", "input_offset", "quant_bias"])
  public static let defaults: Attributes = ["checkpoint": .string("f32")]
  public let scheme: QuantizedScheme
  /// The type of the model's own tensors, which a static scheme computes with.
  public let checkpoint: DType

  public init(_ scheme: QuantizedScheme, checkpoint: DType) {
    self.scheme = scheme
    self.checkpoint = checkpoint
  }

  public func infer(_ operands: [TensorType]) throws(OpError) -> [TensorType] {
    try require(
      operands.count == scheme.operands.count, "quantized_weight_c1",
      "\(scheme.rawValue) has \(scheme.operands.count) operands, got \(operands.count)")
    guard operands[0].dtype == scheme.codes, let (rows, columns) = QuantizedRows.size(operands[0]) else {
      throw OpError("quantized_weight_c2", "\(operands[0]) are no codes of \(scheme.rawValue)")
    }
    let scale = operands[1]
    guard scale.rank == 2, scale.dims[0] == .known(rows), let groups = scale.dims[1].value,
      scheme.isBlocked
        ? scale.dtype == .float8e8m0 && groups == (columns + 31) / 32
        : scale.dtype == .float32 && groups > 0 && columns % groups == 0,
      !scheme.keepsInputs || operands[2] == scale
    else { throw OpError("quantized_weight_c3", "scale \(scale) does not go with codes \(operands[0])") }
    if scheme.isStatic {
      try require(
        operands[2] == TensorType(.float32, shape: [rows, 1])
          && operands[3...4].allSatisfy { $0 == TensorType(.float32, shape: [1]) }
          && operands[5] == TensorType(.int32, shape: [rows]),
        "quantized_weight_c4", "\(operands[2...]) do not go with codes \(operands[0])")
    }
    return [TensorType(.float32, shape: [rows, columns])]
  }

  public func evaluate(_ operands: [Tensor]) throws -> [Tensor] {
    let codes = QuantizedRows(operands[0])
    let (scale, groups) = (operands[1].doubles, operands[1].shape[1])
    let size = scheme.isBlocked ? 32 : codes.columns / groups
    let sign: Double = scheme.addsOffset ? 1 : -1
    let offset = scheme.keepsInputs ? operands[2].doubles.map { $0 * sign } : nil
    let values = codes.values.indices.map { index in
      let place = index / codes.columns * groups + index % codes.columns / size
      return (codes.values[index] + (offset?[place] ?? 0)) * scale[place]
    }
    return [try Tensor(.float32, shape: [codes.rows, codes.columns], doubles: values)]
  }
}
