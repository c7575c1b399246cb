public import Tensors

/// `softmax(mask(scale * q * transpose(k))) * v` for q [B,H,S,D], k [B,G,T,D] and v [B,G,T,E]: head h of q reads head
/// `h / (H / G)` of k and v. Rounded once.
///
/// A mask of booleans hides the keys where it is false, one of numbers is added; with `causal`, query i sees the keys
/// up to `i + T - S`. A hidden score is the lowest float32, so that a query that sees no key takes the mean of v.
///
/// - C1: q, k and v have the same floating-point type.
/// - C2: the shapes are as above, H and G known and H a multiple of G.
/// - C3: the mask is bool or floating point and broadcasts to [B,H,S,T].
/// - C4: scale is finite.
public struct Attention: Op {
  public static let schema = OpSchema("attention", operands: ["q", "k", "v"], optional: ["mask"])
  public static let defaults: Attributes = ["causal": .bool(false)]
  public let scale: Double
  public let causal: Bool

  public init(scale: Double, causal: Bool = false) {
    self.scale = scale
    self.causal = causal
  }

  public func infer(_ operands: [TensorType]) throws(OpError) -> [TensorType] {
    let (q, k, v) = (operands[0], operands[1], operands[2])
    try require(
      q.dtype.isFloat && q.dtype == k.dtype && q.dtype == v.dtype, "attention_c1",
      "q, k and v must have one floating-point type, got \(q), \(k) and \(v)")
    guard let shapes = attentionShapes(q, k, v) else {
      throw OpError("attention_c2", "q \(q), k \(k) and v \(v) do not go together")
    }
    if operands.count > 3 {
      let mask = operands[3]
      try require(
        (mask.dtype == .bool || mask.dtype.isFloat) && broadcasts(mask.dims, to: shapes.scores), "attention_c3",
        "mask \(mask) does not go with scores \(shapes.scores)")
    }
    try require(scale.isFinite, "attention_c4", "scale is \(scale)")
    return [shapes.result]
  }

  public func cost(_ operands: [TensorType], _ results: [TensorType]) -> OpCost {
    attentionCost(operands, results)
  }

  public func evaluate(_ operands: [Tensor]) throws -> [Tensor] {
    let (q, k, v) = (operands[0], operands[1], operands[2])
    var mask = AttentionMask()
    if operands.count > 3 {
      let indices = operands[3].broadcastIndices(to: [q.shape[0], q.shape[1], q.shape[2], k.shape[2]])
      if operands[3].dtype == .bool {
        mask.visible = (operands[3].integers.map { $0 != 0 }, indices)
      } else {
        mask.added = (operands[3].doubles, indices)
      }
    }
    if causal { mask.causalOffset = k.shape[2] - q.shape[2] }
    return [try scaledDotProduct(q, k, v, scale: scale, mask: mask)]
  }
}
