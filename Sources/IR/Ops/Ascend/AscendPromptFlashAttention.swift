public import Tensors

extension Ascend {
  /// `softmax(scale_value * q * transpose(k)) * v` for q [B,N,S,D] and k, v [B,G,T,D]; head h reads head `h / (N / G)`.
  ///
  /// `atten_mask` is true where a key is hidden. `sparse_mode` 0 takes the mask as it is; 2 lets query i see the keys
  /// up to i and 3 those up to `i + T - S`, without a mask operand (the compressed mask of the device is the exporter's
  /// business). A hidden score is the lowest float32. Window attributes (`pre_tokens`, `next_tokens`) are at their
  /// maximum.
  ///
  /// - C1: q, k and v have the same type: float16, bfloat16 or float32.
  /// - C2: the shapes are as above, N is `num_heads` and a multiple of G, which is `num_key_value_heads`.
  /// - C3: the mask is bool, broadcasts to [B,N,S,T], and stands only beside `sparse_mode` 0.
  /// - C4: `scale_value` is finite.
  /// - C5: `sparse_mode` is 0, 2 or 3.
  /// - C6: `input_layout` is BNSD.
  public struct PromptFlashAttention: Op {
    private enum CodingKeys: String, CodingKey {
      case numHeads = "num_heads"
      case numKeyValueHeads = "num_key_value_heads"
      case scaleValue = "scale_value"
      case inputLayout = "input_layout"
      case sparseMode = "sparse_mode"
    }

    public static let schema = OpSchema(
      "ascend.PromptFlashAttention", operands: ["q", "k", "v"], optional: ["atten_mask"],
      foreign: [.ascend("PromptFlashAttention")])
    public static let defaults: Attributes = ["scale_value": .float(1), "sparse_mode": .int(0)]
    public let numHeads: Int
    public let numKeyValueHeads: Int
    public let scaleValue: Double
    public let inputLayout: String
    public let sparseMode: Int

    public init(
      numHeads: Int, numKeyValueHeads: Int, scaleValue: Double = 1, inputLayout: String = "BNSD", sparseMode: Int = 0
    ) {
      self.numHeads = numHeads
      self.numKeyValueHeads = numKeyValueHeads
      self.scaleValue = scaleValue
      self.inputLayout = inputLayout
      self.sparseMode = sparseMode
    }

    private var meaning: MaskedAttention {
      MaskedAttention(
        label: Self.name, heads: numHeads, groups: numKeyValueHeads, scale: scaleValue, layout: inputLayout,
        sparseMode: sparseMode)
    }

    public func infer(_ operands: [TensorType]) throws(OpError) -> [TensorType] { try meaning.infer(operands) }
    public func cost(_ operands: [TensorType], _ results: [TensorType]) -> OpCost { attentionCost(operands, results) }

    public func evaluate(_ operands: [Tensor]) throws -> [Tensor] { try meaning.evaluate(operands) }
  }
}
