internal import Tensors

/// The fused tensors of mindformers, from and to tensors of their own under mindformers' names.
///
/// With n heads in g groups of queries, d numbers each, H of the hidden state, E experts of F numbers:
///
/// | | training | inference, on one rank |
/// |---|---|---|
/// | `linear_qkv` | for each group its n/g heads of queries, its keys, its values | all queries, all keys, all values |
/// | `linear_fc1` | rows of gate and up in turns | all rows of gate, all rows of up |
/// | `experts.weight1` | [E H, 2 F], gate and up transposed, side by side | the same as [E, H, 2 F] |
/// | `experts.weight2` | [E F, H], transposed | the same as [E, F, H] |
struct MindFormersLayout {
  enum Kind {
    case training
    case inference
  }

  private let kind: Kind
  private let heads: Int
  private let groups: Int
  private let headSize: Int
  private let experts: Int
  /// Whether Hugging Face has gate and up in one tensor.
  private let isGateFused: Bool

  /// Families whose layouts are known: those with queries, keys and values of their own.
  private static let modelTypes = ["glm4", "glm4_moe", "qwen2", "qwen3", "qwen3_moe"]
  private static let attention = "*.self_attention.linear_"
  private static let expert = "*.mlp.experts."

  /// Takes the sizes from the configuration. Throws ``ErrorCode/config`` when it lacks one, and
  /// ``ErrorCode/unsupportedModel`` for another family.
  init(_ kind: Kind, _ subject: WeightMap.Subject) throws {
    guard let config = subject.config else {
      throw BessemerError(.config, "the map needs config.json beside the weights, which has the number of heads")
    }
    let type = config["model_type"]?.string ?? ""
    guard MindFormersLayout.modelTypes.contains(type) else {
      throw BessemerError(
        .unsupportedModel,
        "fused tensors of mindformers are known of \(MindFormersLayout.modelTypes.joined(separator: ", ")), not of "
          + "\(quoted(type)); hf-to-mindformers and its inverse change names alone")
    }
    func size(_ keys: String...) throws -> Int {
      guard let value = keys.lazy.compactMap({ config[$0]?.int }).first, (1...1 << 20).contains(value) else {
        throw BessemerError(.config, "config.json lacks \(quoted(keys[0])), or has one that cannot be right")
      }
      return value
    }
    self.kind = kind
    isGateFused = type == "glm4"
    heads = try size("num_attention_heads")
    groups = try size("num_key_value_heads", "num_attention_heads")
    headSize = try config["head_dim"]?.int ?? size("hidden_size") / heads
    experts = type.hasSuffix("_moe") ? try size("num_experts", "n_routed_experts", "num_local_experts") : 0
    guard heads % groups == 0, headSize > 0 else {
      throw BessemerError(.config, "\(heads) heads of \(headSize) do not go into \(groups) groups")
    }
  }

  // MARK: Fusing

  func fusions() throws -> [MapRule] {
    var rules: [MapRule] = []
    let parts = ["q", "k", "v"].map { MindFormersLayout.attention + $0 + "." }
    for (end, last) in [("weight", [-1]), ("bias", [])] {
      if kind == .training {
        for (part, size) in zip(parts, [heads / groups, 1, 1]) {
          rules += try [reshape(part + end, [groups, size * headSize] + last)]
        }
      }
      let fused = MindFormersLayout.attention + "qkv." + end
      let axis = kind == .training ? 1 : 0
      rules += try [MapRule(.concat(axis: axis), parts.map { $0 + end }, to: [fused], isOptional: true)]
      if kind == .training { rules += try [reshape(fused, [(heads + 2 * groups) * headSize] + last)] }
    }
    for mlp in ["*.mlp.", "*.mlp.shared_experts."] {
      let fused = mlp + "linear_fc1.weight"
      rules += try [
        MapRule(.concat(axis: 0), [mlp + "gating.weight", mlp + "hidden.weight"], to: [fused], isOptional: true)
      ]
    }
    // Those that Hugging Face has fused already are turned too.
    if kind == .training { rules += try [MapRule(.interleave(heads: 1), ["*.linear_fc1.weight"], isOptional: true)] }
    guard experts > 0 else { return rules }
    let one = MindFormersLayout.expert + "{e}."
    for part in ["gating", "hidden", "linear_fc2"] {
      rules += try [MapRule(.transpose(axes: nil), [one + part + ".weight"], isOptional: true)]
    }
    let both = [one + "gating.weight", one + "hidden.weight"]
    rules += try [MapRule(.concat(axis: 1), both, to: [one + "weight1"], isOptional: true)]
    for (from, to) in [("weight1", "weight1"), ("linear_fc2.weight", "weight2")] {
      let action: MapRule.Action = kind == .training ? .concat(axis: 0) : .stack(axis: 0)
      rules += try [
        MapRule(action, [one + from], to: [MindFormersLayout.expert + to], over: "e", isOptional: true)
      ]
    }
    return rules
  }

  // MARK: Parting

  func fissions() throws -> [MapRule] {
    var rules: [MapRule] = []
    let parts = ["q", "k", "v"].map { MindFormersLayout.attention + $0 + "." }
    let sizes = [heads, groups, groups].map { $0 * headSize }
    for (end, last) in [("weight", [-1]), ("bias", [])] {
      let fused = MindFormersLayout.attention + "qkv." + end
      if kind == .training { rules += try [reshape(fused, [groups, sizes.reduce(0, +) / groups] + last)] }
      let own = kind == .training ? sizes.map { $0 / groups } : sizes
      let axis = kind == .training ? 1 : 0
      rules += try [
        MapRule(.split(axis: axis, .sizes(own)), [fused], to: parts.map { $0 + end }, isOptional: true)
      ]
      guard kind == .training else { continue }
      for (part, size) in zip(parts, sizes) { rules += try [reshape(part + end, [size] + last)] }
    }
    if kind == .training { rules += try [MapRule(.deinterleave(heads: 1), ["*.linear_fc1.weight"], isOptional: true)] }
    return try rules + gates() + expertFissions()
  }

  /// Gate and up where Hugging Face has them apart.
  private func gates() throws -> [MapRule] {
    guard !isGateFused else { return [] }
    return try ["*.mlp.", "*.mlp.shared_experts."].map { mlp in
      try MapRule(
        .split(axis: 0, .count(2)), [mlp + "linear_fc1.weight"], to: [mlp + "gating.weight", mlp + "hidden.weight"],
        isOptional: true)
    }
  }

  private func expertFissions() throws -> [MapRule] {
    guard experts > 0 else { return [] }
    var rules: [MapRule] = []
    let one = MindFormersLayout.expert + "{e}."
    for (from, to) in [("weight1", "weight1"), ("weight2", "linear_fc2.weight")] {
      let action: MapRule.Action = kind == .training ? .split(axis: 0, .count(experts)) : .unstack(axis: 0)
      rules += try [
        MapRule(action, [MindFormersLayout.expert + from], to: [one + to], over: "e", isOptional: true)
      ]
    }
    rules += try [
      MapRule(
        .split(axis: 1, .count(2)), [one + "weight1"], to: [one + "gating.weight", one + "hidden.weight"],
        isOptional: true)
    ]
    for part in ["gating", "hidden", "linear_fc2"] {
      rules += try [MapRule(.transpose(axes: nil), [one + part + ".weight"], isOptional: true)]
    }
    return rules
  }

  private func reshape(_ pattern: String, _ shape: [Int]) throws -> MapRule {
    try MapRule(.reshape(shape), [pattern], isOptional: true)
  }
}
