import IR
import Tensors

/// Pangu Pro MoE: experts in as many groups as a token goes to experts, the best of each group, beside a shared expert.
///
/// Source: Tang et al., arXiv 2505.21411, and `pangu_moe.py` of vLLM Ascend for names and biases.
enum PanguProMoE: Architecture {
  static let modelTypes = ["PanguProMoE"]

  struct Configuration: DecoderConfiguration {
    var hiddenSize: Int
    var numHiddenLayers: Int
    var numAttentionHeads: Int
    var numKeyValueHeads: Int?
    var headDim: Int?
    var vocabSize: Int
    var maxPositionEmbeddings: Int?
    var rmsNormEps: Double?
    var hiddenAct: String?
    var tieWordEmbeddings: Bool?
    var ropeTheta: Double?
    var ropeParameters: RotaryParameters.Table?
    var ropeScaling: RotaryParameters.Table?
    var numExperts: Int
    var numExpertsPerTok: Int
    var moeIntermediateSize: Int
    var sharedExpertIntermediateSize: Int

    /// Every layer has the shared expert where others have a dense feed-forward.
    var intermediateSize: Int { sharedExpertIntermediateSize }
  }

  static func build(_ c: Configuration, _ b: inout GraphBuilder) throws {
    let sizes = try DecoderSizes(c, maximumPositions: 131072, epsilon: 1e-5)
    let experts = try Experts(
      count: c.numExperts, chosen: c.numExpertsPerTok, inner: c.moeIntermediateSize, activation: c.hiddenAct)
    guard experts.count % experts.chosen == 0 else {
      throw BessemerError(.config, "\(experts.count) experts do not fall into \(experts.chosen) groups")
    }
    let decoder = try Decoder(sizes, rotary: RotaryParameters(c, sizes.maximumPositions), &b)
    try decoder.preNormModel(tied: c.tieWordEmbeddings ?? false, &b) { x, prefix, layer, b in
      try decoder.attention(x, prefix: prefix, layer: layer, inputBias: true, outputBias: true, &b)
    } feedForward: { x, prefix, _, b in
      let routing = try groupRouting(x, experts, prefix: prefix, hidden: sizes.hiddenSize, &b)
      let mixed = try experts.mix(x, routing, prefix: prefix, hidden: sizes.hiddenSize, &b)
      let shared = try b.gatedFeedForward(
        x, "\(prefix).shared_expert", hidden: sizes.hiddenSize, inner: sizes.intermediateSize, activation: c.hiddenAct)
      return try b.add(Add(), mixed, shared)
    }
  }

  /// The likeliest expert of each group by the softmax over all, weighted with its probability times its
  /// `router_scale`.
  private static func groupRouting(
    _ x: ValueID, _ experts: Experts, prefix: String, hidden: Int, _ b: inout GraphBuilder
  ) throws -> Experts.Routing {
    let (groups, size) = (experts.chosen, experts.count / experts.chosen)
    let logits = try b.linear(x, "\(prefix).gate", outputs: experts.count, inputs: hidden, bias: false)
    return try b.within("\(prefix).gate") { b in
      let probabilities = try b.add(Softmax(axis: -1), b.cast(logits, .float32))
      let best = try b.addAll(TopK(k: 1), [b.add(Reshape(shape: [0, 0, groups, size]), probabilities)])
      let starts = try b.constant(Tensor((0..<groups).map { Int64($0 * size) }, shape: [groups]))
      let indices = try b.add(Add(), b.add(Squeeze(axis: 3), best[1]), starts)
      let scales = try b.add(Squeeze(axis: 0), b.weight("\(prefix).router_scale", [1, experts.count]))
      let scale = try b.cast(b.add(Gather(axis: 0), scales, indices), .float32)
      return Experts.Routing(
        weights: try b.add(Multiply(), b.add(Squeeze(axis: 3), best[0]), scale), indices: indices)
    }
  }
}
