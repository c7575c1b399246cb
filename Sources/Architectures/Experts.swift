import IR
import Tensors

/// The routed experts of a feed-forward: how many, how many of them a token goes to, and how wide each is.
struct Experts {
  let count: Int
  let chosen: Int
  let inner: Int
  let activation: Activation

  /// No layer has more experts than this.
  static let maximumCount = 4096

  /// - Throws: ``ErrorCode/config`` for sizes that cannot be.
  init(count: Int, chosen: Int, inner: Int, activation: String?) throws {
    try checkSizes([
      ("the number of experts", count), ("num_experts_per_tok", chosen), ("moe_intermediate_size", inner),
    ])
    guard chosen <= count, count <= Experts.maximumCount else {
      throw BessemerError(.config, "num_experts_per_tok is \(chosen) of \(count) experts, expected at most 4096")
    }
    self.count = count
    self.chosen = chosen
    self.inner = inner
    switch activation ?? "silu" {
    case "silu", "swish": self.activation = .silu
    case "gelu": self.activation = .gelu
    case "gelu_new", "gelu_pytorch_tanh", "gelu_fast": self.activation = .geluTanh
    case "relu": self.activation = .relu
    case let other: throw BessemerError(.config, "activation \(quoted(other)) is not known")
    }
  }

  /// Which experts each token goes to and with what weight, both [batch, sequence, chosen].
  struct Routing {
    let weights: ValueID
    let indices: ValueID
  }

  /// The weighted sum of the experts of each token of `x` [batch, sequence, hidden].
  ///
  /// Their matrices are `PREFIX.experts.E.{gate,up,down}_proj.weight`, or stacked `PREFIX.experts.gate_up_proj`
  /// [count, 2 * inner, hidden], gates first, and `PREFIX.experts.down_proj` [count, hidden, inner].
  func mix(_ x: ValueID, _ routing: Routing, prefix: String, hidden: Int, _ b: inout GraphBuilder) throws -> ValueID {
    try b.within("\(prefix).experts") { b in
      let isStacked = b.hasWeight("\(prefix).experts.gate_up_proj")
      var operands = [x, routing.weights, routing.indices]
      for expert in 0..<count {
        operands +=
          try isStacked
          ? stacked(expert, "\(prefix).experts", hidden, &b) : own("\(prefix).experts.\(expert)", hidden, &b)
      }
      return try b.addAll(MixtureOfExperts(activation: activation), operands)[0]
    }
  }

  private func own(_ name: String, _ hidden: Int, _ b: inout GraphBuilder) throws -> [ValueID] {
    [
      try b.weight("\(name).gate_proj.weight", [inner, hidden]),
      try b.weight("\(name).up_proj.weight", [inner, hidden]),
      try b.weight("\(name).down_proj.weight", [hidden, inner]),
    ]
  }

  private func stacked(_ expert: Int, _ name: String, _ hidden: Int, _ b: inout GraphBuilder) throws -> [ValueID] {
    func slice(_ stack: ValueID, _ b: inout GraphBuilder) throws -> ValueID {
      try b.add(Squeeze(axis: 0), b.add(Slice(axis: 0, start: expert, end: expert + 1), stack))
    }
    let joint = try slice(b.weight("\(name).gate_up_proj", [count, 2 * inner, hidden]), &b)
    return [
      try b.add(Slice(axis: 0, start: 0, end: inner), joint), try b.add(Slice(axis: 0, start: inner), joint),
      try slice(b.weight("\(name).down_proj", [count, hidden, inner]), &b),
    ]
  }

  /// The likeliest experts by the softmax over all, weighted with their probability, in the type of `x`.
  /// - Parameter normalized: divide the weights by their sum.
  func softmaxRouting(_ x: ValueID, gate: String, hidden: Int, normalized: Bool, _ b: inout GraphBuilder) throws
    -> Routing
  {
    let logits = try b.cast(b.linear(x, gate, outputs: count, inputs: hidden, bias: false), .float32)
    return try b.within(gate) { b in
      let top = try b.addAll(TopK(k: chosen), [b.add(Softmax(axis: -1), logits)])
      let weights = normalized ? try normalize(top[0], &b) : top[0]
      return Routing(weights: try b.cast(weights, b.type(of: x).dtype), indices: top[1])
    }
  }

  /// The weights divided by their sum, to which `term` is added.
  fileprivate func normalize(_ weights: ValueID, plus term: Double = 0, _ b: inout GraphBuilder) throws -> ValueID {
    let sum = try b.add(ReduceSum(axes: [-1]), weights)
    return try b.add(Divide(), weights, term == 0 ? sum : b.plus(sum, term))
  }
}

/// Routing as in DeepSeek-V3: a sigmoid per expert, a learned bias that counts for the choice alone, and a choice among
/// the experts of the best groups.
struct GroupedRouting {
  let experts: Experts
  let groups: Int
  let chosenGroups: Int
  /// Whether weights are divided by their sum before they are scaled.
  let normalized: Bool
  let scale: Double

  /// - Throws: ``ErrorCode/config`` for groups that cannot be.
  init(_ experts: Experts, groups: Int, chosenGroups: Int, normalized: Bool, scale: Double) throws {
    try checkSizes([("n_group", groups), ("topk_group", chosenGroups)])
    guard experts.count % groups == 0, chosenGroups <= groups,
      chosenGroups == groups || experts.count / groups >= 2,
      experts.chosen <= experts.count / groups * chosenGroups, scale.isFinite
    else {
      throw BessemerError(
        .config,
        "\(experts.chosen) of \(experts.count) experts cannot be chosen from \(chosenGroups) of \(groups) groups")
    }
    self.experts = experts
    self.groups = groups
    self.chosenGroups = chosenGroups
    self.normalized = normalized
    self.scale = scale
  }

  /// Scores are computed in float32, of `GATE.weight` [experts, hidden] and `GATE.e_score_correction_bias` [experts].
  func route(_ x: ValueID, gate: String, hidden: Int, _ b: inout GraphBuilder) throws -> Experts.Routing {
    let logits = try b.linear(b.cast(x, .float32), gate, outputs: experts.count, inputs: hidden, bias: false)
    return try b.within(gate) { b in
      let scores = try b.add(Sigmoid(), logits)
      let bias = try b.cast(b.weight("\(gate).e_score_correction_bias", [experts.count]), .float32)
      let eligible = try withinBestGroups(b.add(Add(), scores, bias), &b)
      let indices = try b.addAll(TopK(k: experts.chosen), [eligible])[1]
      var weights = try b.add(GatherElements(axis: -1), scores, indices)
      if normalized { weights = try experts.normalize(weights, plus: 1e-20, &b) }
      return Experts.Routing(weights: scale == 1 ? weights : try b.multiply(weights, scale), indices: indices)
    }
  }

  /// The scores [batch, sequence, experts], those outside the best groups hidden. A group is as good as its two best.
  private func withinBestGroups(_ scores: ValueID, _ b: inout GraphBuilder) throws -> ValueID {
    guard chosenGroups < groups else { return scores }
    let grouped = try b.add(Reshape(shape: [0, 0, groups, experts.count / groups]), scores)
    let quality = try b.add(ReduceSum(axes: [-1], keepDims: false), b.addAll(TopK(k: 2), [grouped])[0])
    let best = try b.add(Unsqueeze(axis: 3), b.addAll(TopK(k: chosenGroups), [quality])[1])
    let numbers = try b.constant(Tensor((0..<groups).map { Int64($0) }, shape: [groups]))
    // [batch, sequence, chosen, groups], true where a group is the chosen one.
    let isBest = try b.cast(b.add(Equal(), best, numbers), .float32)
    let isEligible = try b.add(NotEqual(), b.add(ReduceMax(axes: [2], keepDims: false), isBest), b.scalar(0, .float32))
    let kept = try b.add(Where(), b.add(Unsqueeze(axis: 3), isEligible), grouped, b.scalar(-.infinity, .float32))
    return try b.add(Reshape(shape: [0, 0, experts.count]), kept)
  }
}
