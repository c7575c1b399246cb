import Tensors

extension Ascend {
  /// What the attention operators have in common: q [B,H,S,D], k and v [B,G,T,D], a mask that is true for what is
  /// hidden.
  struct MaskedAttention {
    let label: String
    let heads: Int
    let groups: Int
    let scale: Double
    let layout: String
    let sparseMode: Int

    func infer(_ operands: [TensorType]) throws(OpError) -> [TensorType] {
      let (q, k, v) = (operands[0], operands[1], operands[2])
      try require(
        Ascend.computes(q.dtype) && q.dtype == k.dtype && q.dtype == v.dtype, "\(label)_c1",
        "q \(q), k \(k) and v \(v) have the wrong types")
      guard let shapes = attentionShapes(q, k, v), q.dims[1] == .known(heads), k.dims[1] == .known(groups) else {
        throw OpError("\(label)_c2", "q \(q), k \(k) and v \(v) do not go together with \(heads) and \(groups) heads")
      }
      if operands.count > 3 {
        let mask = operands[3]
        try require(
          mask.dtype == .bool && sparseMode == 0 && broadcasts(mask.dims, to: shapes.scores), "\(label)_c3",
          "mask \(mask) does not go with scores \(shapes.scores) and sparse mode \(sparseMode)")
      }
      try require(scale.isFinite, "\(label)_c4", "scale is \(scale)")
      try require([0, 2, 3].contains(sparseMode), "\(label)_c5", "sparse mode \(sparseMode) is not 0, 2 or 3")
      try require(layout == "BNSD", "\(label)_c6", "layout \(layout) is not BNSD")
      return [shapes.result]
    }

    func evaluate(_ operands: [Tensor]) throws -> [Tensor] {
      let (q, k, v) = (operands[0], operands[1], operands[2])
      var mask = AttentionMask()
      if operands.count > 3 {
        let indices = operands[3].broadcastIndices(to: [q.shape[0], q.shape[1], q.shape[2], k.shape[2]])
        mask.visible = (operands[3].integers.map { $0 == 0 }, indices)
      }
      if sparseMode == 2 { mask.causalOffset = 0 }
      if sparseMode == 3 { mask.causalOffset = k.shape[2] - q.shape[2] }
      return [try scaledDotProduct(q, k, v, scale: scale, mask: mask)]
    }
  }
}
