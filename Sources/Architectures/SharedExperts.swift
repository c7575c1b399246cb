import IR
import Tensors

/// What config.json says of experts in the manner of DeepSeek-V3.
protocol SharedExpertConfiguration: DecoderConfiguration {
  var moeIntermediateSize: Int { get }
  var nRoutedExperts: Int { get }
  var nSharedExperts: Int? { get }
  var numExpertsPerTok: Int { get }
  var nGroup: Int? { get }
  var topkGroup: Int? { get }
  var normTopkProb: Bool? { get }
  var routedScalingFactor: Double? { get }
  var firstKDenseReplace: Int? { get }
}

/// Feed-forward in the manner of DeepSeek-V3: dense in the first layers, then routed experts beside a shared one.
struct SharedExperts {
  private let routing: GroupedRouting
  private let denseLayers: Int
  private let sharedSize: Int
  private let activation: String?

  /// The parameters stand for `n_group`, `topk_group`, `first_k_dense_replace` and `routed_scaling_factor` when the
  /// configuration is silent.
  init(_ c: some SharedExpertConfiguration, groups: Int = 1, chosenGroups: Int = 1, denseLayers: Int, scale: Double)
    throws
  {
    let experts = try Experts(
      count: c.nRoutedExperts, chosen: c.numExpertsPerTok, inner: c.moeIntermediateSize, activation: c.hiddenAct)
    routing = try GroupedRouting(
      experts, groups: c.nGroup ?? groups, chosenGroups: c.topkGroup ?? chosenGroups,
      normalized: c.normTopkProb ?? true,
      scale: c.routedScalingFactor ?? scale)
    let shared = c.nSharedExperts ?? 1
    try checkSizes([("n_shared_experts", shared)])
    sharedSize = shared * experts.inner
    self.denseLayers = c.firstKDenseReplace ?? denseLayers
    activation = c.hiddenAct
  }

  /// The feed-forward of a layer, whose weights begin with `prefix`.
  func feedForward(
    _ x: ValueID, _ prefix: String, _ layer: Int, _ sizes: DecoderSizes, _ b: inout GraphBuilder
  ) throws -> ValueID {
    let hidden = sizes.hiddenSize
    guard layer >= denseLayers else {
      return try b.gatedFeedForward(x, prefix, hidden: hidden, inner: sizes.intermediateSize, activation: activation)
    }
    let routes = try routing.route(x, gate: "\(prefix).gate", hidden: hidden, &b)
    let mixed = try routing.experts.mix(x, routes, prefix: prefix, hidden: hidden, &b)
    let shared = try b.gatedFeedForward(
      x, "\(prefix).shared_experts", hidden: hidden, inner: sharedSize, activation: activation)
    return try b.add(Add(), mixed, shared)
  }
}

extension GraphBuilder {
  /// Ignores layers behind the last, which predict more tokens at once and take no part in the model proper.
  mutating func ignoreLayers(after layers: Int, count: Int) {
    for layer in layers..<layers + min(max(count, 0), 64) { ignore(prefix: "model.layers.\(layer).") }
  }
}
