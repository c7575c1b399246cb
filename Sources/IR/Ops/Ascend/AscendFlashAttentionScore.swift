public import Tensors

extension Ascend {
  /// `softmax(scale_value * q * transpose(k)) * v` for q [B,N,S,D] and k, v [B,G,T,D]; head h reads head `h / (N / G)`.
  ///
  /// `atten_mask` is true where a key is hidden. `sparse_mode` 0 takes the mask as it is; 2 lets query i see the keys
  /// up to i and 3 those up to `i + T - S`, without a mask operand (the compressed mask of the device is the exporter's
  /// business). A hidden score is the lowest float32. Window attributes (`pre_tockens`, `next_tockens`) are at their
  /// maximum.
  ///
  /// - C1: q, k and v have the same type: float16, bfloat16 or float32.
  /// - C2: the shapes are as above, N is `head_num`, G known and N a multiple of it.
  /// - C3: the mask is bool, broadcasts to [B,N,S,T], and stands only beside `sparse_mode` 0.
  /// - C4: `scale_value` is finite.
  /// - C5: `sparse_mode` is 0, 2 or 3.
  /// - C6: `input_layout` is BNSD.
  public struct FlashAttentionScore: Op {
    private enum CodingKeys: String, CodingKey {
      case headNum = "head_num"
      case scaleValue = "scale_value"
      case inputLayout = "input_layout"
      case sparseMode = "sparse_mode"
    }

    public static let schema = OpSchema(
      "ascend.FlashAttentionScore", operands: ["q", "k", "v"], optional: ["atten_mask"],
      foreign: [.ascend("FlashAttentionScore")])
    public static let defaults: Attributes = ["scale_value": .float(1), "sparse_mode": .int(0)]
    public let headNum: Int
    public let scaleValue: Double
    public let inputLayout: String
    public let sparseMode: Int

    public init(headNum: Int, scaleValue: Double = 1, inputLayout: String = "BNSD", sparseMode: Int = 0) {
      self.headNum = headNum
      self.scaleValue = scaleValue
      self.inputLayout = inputLayout
      self.sparseMode = sparseMode
    }

    private func meaning(keyHeads: Int) -> MaskedAttention {
      MaskedAttention(
        label: Self.name, heads: headNum, groups: keyHeads, scale: scaleValue, layout: inputLayout,
        sparseMode: sparseMode)
    }

    public func infer(_ operands: [TensorType]) throws(OpError) -> [TensorType] {
      try meaning(keyHeads: operands[1].dims.dropFirst().first?.value ?? 0).infer(operands)
    }

    public func cost(_ operands: [TensorType], _ results: [TensorType]) -> OpCost { attentionCost(operands, results) }

    public func evaluate(_ operands: [Tensor]) throws -> [Tensor] {
      try meaning(keyHeads: operands[1].shape[1]).evaluate(operands)
    }
  }
}
