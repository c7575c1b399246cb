import IR
import Quantization
import Tensors

/// The tokens that go to each expert of an operator, sequence by sequence.
final class ExpertTokens {
  private let node: Node
  private let activation: Activation
  private var inputs: [Matrix] = []
  /// For each sequence the experts of each token, as many for all.
  private var choices: [[Int64]] = []
  private let dtype: DType

  private init?(_ node: Node, _ graph: Graph) {
    guard let op = node.op as? MixtureOfExperts else { return nil }
    (self.node, activation, dtype) = (node, op.activation, graph.type(of: node.operands[0]).dtype)
  }

  /// Those of all operators that have one of these layers among their experts' matrices.
  static func all(_ sites: [LinearSite], _ graph: Graph) -> [NodeID: ExpertTokens] {
    var found: [NodeID: ExpertTokens] = [:]
    for site in sites where site.expertPart != nil && found[site.node] == nil {
      found[site.node] = ExpertTokens(graph[site.node], graph)
    }
    return found
  }

  /// What has to be observed: the operator's input and which experts are chosen.
  var values: [ValueID] { [node.operands[0], node.operands[2]] }

  func observe(_ value: ValueID, _ tensor: Tensor) {
    if value == node.operands[0], let matrix = try? Matrix(tensor) { inputs.append(matrix) }
    if value == node.operands[2] { choices.append(tensor.integers) }
  }

  /// How many tokens go to an expert.
  func count(of expert: Int) -> Int { choices.reduce(0) { sum, chosen in sum + chosen.count { $0 == expert } } }

  private func isIdle(_ expert: Int) -> Bool { !choices.contains { $0.contains(Int64(expert)) } }

  /// The tokens that an expert gets of each sequence, those with none left out; all tokens where no sequence has any.
  func rows(of expert: Int) -> [Matrix] {
    guard !isIdle(expert) else { return inputs }
    return zip(inputs, choices).compactMap { input, chosen in
      let each = max(1, chosen.count / max(1, input.rows))
      let rows = (0..<input.rows).filter { chosen[($0 * each)..<(($0 + 1) * each)].contains(Int64(expert)) }
      guard !rows.isEmpty else { return nil }
      let values = rows.flatMap { input.values[($0 * input.columns)..<(($0 + 1) * input.columns)] }
      return Matrix(rows: rows.count, columns: input.columns, values: values)
    }
  }

  /// What an expert's tokens are where it projects down: `activation(gate x) . (up x)`, each operation rounded to the
  /// type of x.
  func inner(of expert: Int, gate: Matrix, up: Matrix, _ threads: KernelThreads) throws -> [Tensor] {
    try rows(of: expert).map { rows in
      let gates = try rows.times(transposed: gate, dtype, threads).values
      let ups = try rows.times(transposed: up, dtype, threads).values
      let active = try gates.map { Float(activation(Double($0))) }.rounded(to: dtype)
      let product = zip(active, ups).map { $0 * $1 }
      return try Tensor(product, shape: [rows.rows, gate.rows]).cast(to: dtype)
    }
  }

  /// An expert's tokens as its gate and up see them.
  func tensors(of expert: Int) throws -> [Tensor] {
    try rows(of: expert).map { try $0.tensor(dtype, shape: [$0.rows, $0.columns]) }
  }
}

extension Calibrator {
  /// The matrix of the same expert that is another part.
  private func other(_ site: LinearSite, _ part: Int) throws -> LinearSite {
    guard let found = sites.first(where: { $0.node == site.node && $0.expert == site.expert && $0.expertPart == part })
    else { throw BessemerError(.unsupportedFeature, "\(quoted(site.layer.module)) has no gate or no up projection") }
    return found
  }

  /// What the layer that projects down in an expert reads of each sequence.
  mutating func inner(
    of layer: LinearLayer, _ number: Int, _ experts: [NodeID: ExpertTokens], _ weights: PreparedWeights
  ) throws -> [Tensor] {
    guard let site = sites.first(where: { $0.layer.weight == layer.weight }), let expert = site.expert,
      let tokens = experts[site.node]
    else { return [] }
    try note(site, number, tokens)
    guard !statistics.areSaved else { return [] }
    return try tokens.inner(
      of: expert, gate: weights.matrix(other(site, 0).layer.weight), up: weights.matrix(other(site, 1).layer.weight),
      threads)
  }

  /// What a matrix of an expert reads of each sequence; nothing where statistics are saved.
  mutating func inputs(
    of site: LinearSite, _ number: Int, _ tokens: ExpertTokens, _ experts: [NodeID: ExpertTokens],
    _ weights: PreparedWeights
  ) throws -> [Tensor] {
    if site.expertPart == 2 { return try inner(of: site.layer, number, experts, weights) }
    try note(site, number, tokens)
    guard let expert = site.expert, !statistics.areSaved else { return [] }
    return try tokens.tensors(of: expert)
  }

  /// Finds the grid or the codes of a matrix of an expert by the tokens that go to it.
  mutating func observe(
    _ site: LinearSite, _ number: Int, _ step: QuantizationRecipe.Linear, _ experts: [NodeID: ExpertTokens]
  ) throws {
    guard let tokens = experts[site.node] else { return }
    let inputs = try inputs(of: site, number, tokens, experts, weights)
    let (found, place) = (Observations(), RoundedValue(value: site.input, rounding: 0))
    let rounded = try inputs.map { try found.round(place, $0, step) }
    let module = site.layer.module
    if step.scheme.needsInputGrid {
      weights.grids[module] = try settled(found.observers[place]?.grid, site.layer, number)
    }
    guard step.method.needsData,
      let moments = try settled(SecondMoments(of: rounded, threads), site.layer, number),
      let weight = try weights[site.layer.weight]?.tensor()
    else { return }
    weights.codes[module] = try CodeSolver(step.method, moments, module: module, threads).codes(
      weight, module: module, step.scheme)
  }

  /// Scales for what an expert's layer reads, by what it makes of it.
  func search(
    _ awq: AWQ, _ layer: LinearLayer, _ inputs: [Tensor], mean: [Float], _ scheme: any LinearScheme,
    _ method: WeightMethod
  ) throws -> [Float] {
    let dtype = try weights.dtype(of: layer.weight)
    let matrix = try weights.matrix(layer.weight)
    let shape = [matrix.rows, matrix.columns]
    let tokens = try inputs.map { try Matrix($0) }
    let exact = try tokens.map { try $0.times(transposed: matrix, threads) }
    return try awq.search(mean: mean, dtype: dtype) { scales in
      let scaled = try matrix.scalingColumns(scales).tensor(dtype, shape: shape)
      let rounded = try Matrix(RoundTrip.weight(scaled, module: layer.module, scheme, method))
        .dividingColumns(by: scales)
      var sum = 0.0
      for (input, expected) in zip(tokens, exact) {
        let made = try input.times(transposed: rounded, threads)
        for (a, b) in zip(made.values, expected.values) { sum += Double(a - b) * Double(a - b) }
      }
      return sum
    }
  }

  private mutating func note(_ site: LinearSite, _ number: Int, _ tokens: ExpertTokens) throws {
    guard let expert = site.expert,
      try settled(TokenCount(tokens.count(of: expert)), site.layer, number)?.count == 0
    else { return }
    let name = site.layer.module.split(separator: ".").dropLast().joined(separator: ".")
    let note = "no token of the calibration data goes to \(quoted(name)); all tokens of its layer stand for them"
    if !notes.contains(note) { notes.append(note) }
  }
}
