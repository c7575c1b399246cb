internal import Digests
internal import Quantization
internal import Synchronization
internal import Tensors

/// Chooses a scheme for each linear layer of a model, from headers, some rows of each matrix, and what was measured.
public struct QuantizationPlanner: Sendable {
  /// What the mix is chosen for.
  public enum Target: Sendable {
    /// Bytes of the files with weights.
    case size(Int)
    /// Bits of all tensors for each number of the model.
    case bitsPerWeight(Double)
    /// The Kullback-Leibler divergence from the model as it was, in nats.
    case divergence(Double)
  }

  /// The schemes that are chosen among if nothing is said.
  public static let usualCandidates = ["w4a8-dynamic", "w8a8-dynamic", QuantizationPlan.float]

  public let plan: QuantizationPlan
  /// Candidates that some layers cannot have, and layers that were not measured.
  public let notes: [String]

  /// Plans for a model; of the weights some rows are read.
  ///
  /// - Parameters:
  ///   - options: what is said beside schemes, and layers whose scheme is said.
  ///   - candidates: names of schemes, or `float`; none for those that were measured, or the usual ones.
  ///   - rows: rows to look at of each matrix; of each expert two.
  ///   - sensitivity: what was measured on the same model.
  /// - Throws: ``ErrorCode/usage`` for a target that cannot be met, with the nearest that can.
  public init(
    _ path: String, _ options: QuantizationOptions, target: Target?, candidates: [String] = [], rows: Int = 16,
    sensitivity: Sensitivity? = nil
  ) throws {
    let model = try Quantizer.model(path)
    let digest = QuantizationPlan.digest(of: model.weights)
    let units = LinearFinder(model.graph).units()
    var words = candidates
    if words.isEmpty { words = sensitivity.map { $0.schemes + [QuantizationPlan.float] } ?? Self.usualCandidates }
    var settings = try options.withCalibrationDigest(for: words + options.overrides.map(\.scheme))
    try sensitivity?.check(digest, settings)
    let choice = try CandidateFinder(options, words, units, model.weights)
    var planned = choice.units
    try QuantizationPlanner.expectErrors(&planned, model.weights, choice.method, rows: rows, threads: options.threads)
    let unmeasured = try sensitivity?.fill(&planned) ?? []
    let extras = try QuantizedExtra.all(QuantizationRecipe(options, []), model, isCompatible: options.isCompatible)
    var rest = AscendV1(choice.style)
    let own = Set(planned.flatMap { unit in unit.layers.flatMap { [$0.weight, TensorName($0.module + ".bias")] } })
    for entry in model.weights.entries
    where !own.contains(entry.name) && !options.loses(entry.name, of: model.modelType) {
      rest.add(entry.name, entry.dtype, shape: entry.shape)
    }
    for extra in extras { rest.add(extra.name, extra.dtype, shape: extra.shape, type: extra.type) }
    let elements = model.weights.entries.reduce(0) { $0 + $1.shape.reduce(1, *) }
    let chosen = try QuantizationPlanner.choose(
      planned, target, rest: (rest.byteCount, rest.headerByteCount + 64), elements: elements,
      prepared: sensitivity?.preparedDivergence ?? 0)
    (settings.overrides, settings.keep) = ([], [])
    var plan = QuantizationPlanner.plan(
      planned, chosen, rest.byteCount, digest, settings, elements: elements, rows: rows)
    plan.divergence = sensitivity.map { measured in
      zip(planned, chosen).reduce(measured.preparedDivergence) { $0 + ($1.0.candidates[$1.1].divergence ?? 0) }
    }
    // Statistics have to be those that the plan is carried out with.
    _ = try StatisticsChoice(
      plan.options, QuantizationRecipe(settings, plan.assignment), model.weights, keepsWidest: false)
    let foreign = choice.style == .ascendV1 ? zip(planned, chosen).compactMap { $0.foreignScheme($1) } : []
    let limits = Set(foreign).sorted().map {
      "\($0) of such layers is loaded by MindIE and by older branches of vLLM-Ascend, not by its main one; "
        + "--format vllm-ascend plans without it"
    }
    self.init(plan: plan, notes: choice.notes + unmeasured + limits)
  }

  init(plan: QuantizationPlan, notes: [String]) { (self.plan, self.notes) = (plan, notes) }

  /// The plan of the candidates that were chosen, beside other tensors of so many bytes.
  static func plan(
    _ units: [PlanUnit], _ chosen: [Int], _ restByteCount: Int, _ source: Digest, _ options: QuantizationOptions,
    elements: Int, rows: Int
  ) -> QuantizationPlan {
    var bytes = restByteCount
    let result = zip(units, chosen).map { unit, number in
      let candidate = unit.candidates[number]
      var one = QuantizationPlan.Unit(unit.names, candidate.name)
      (one.byteCount, one.error, one.divergence) = (candidate.byteCount, candidate.error, candidate.divergence)
      bytes += candidate.byteCount
      return one
    }
    var plan = QuantizationPlan(source: source, options: options, units: result)
    (plan.rowCount, plan.byteCount) = (rows, bytes)
    plan.bitsPerWeight = 8 * Double(bytes) / Double(max(1, elements))
    return plan
  }

  /// The number of each unit's candidate.
  ///
  /// - Parameters:
  ///   - rest: bytes of tensors that are no unit's, and what the files have besides, but for units.
  ///   - prepared: the divergence with nothing quantized.
  static func choose(
    _ units: [PlanUnit], _ target: Target?, rest: (byteCount: Int, headerByteCount: Int), elements: Int,
    prepared: Double
  ) throws -> [Int] {
    let isMeasured = units.allSatisfy { $0.candidates.allSatisfy { $0.divergence != nil } }
    func cost(_ unit: PlanUnit, _ candidate: PlanUnit.Candidate) -> Double {
      candidate.divergence ?? unit.weight * candidate.error
    }
    func candidates(_ size: (PlanUnit.Candidate) -> Double) -> [[PlanChoice.Candidate]] {
      units.map { unit in unit.candidates.map { PlanChoice.Candidate(cost: cost(unit, $0), size: size($0)) } }
    }
    let kept = units.filter { $0.candidates.allSatisfy { $0.name == QuantizationPlan.float } }
    func bits(_ bytes: Double) -> String { "\(bytes * 8 / Double(max(1, elements)))".prefix(6).description }
    switch target {
    case nil:
      guard let first = units.first(where: { $0.candidates.count > 1 }) else { return units.map { _ in 0 } }
      throw BessemerError(
        .usage,
        "\(quoted(first.name)) has \(first.candidates.count) candidates; say what to choose for: --target-size, "
          + "--target-bpw or --max-kl")
    case .size(let limit)?:
      let all = candidates { Double($0.byteCount + $0.headerByteCount) }
      let fixed = Double(rest.byteCount + rest.headerByteCount)
      if let chosen = PlanChoice.choose(all, limit: Double(limit) - fixed) { return chosen }
      throw BessemerError(
        .usage,
        "a size of \(limit) bytes cannot be met with these candidates; the smallest mix takes "
          + "\(Int(PlanChoice.smallest(all) + fixed)) bytes, of which "
          + "\(Int(fixed) + kept.reduce(0) { $0 + $1.candidates[0].byteCount }) are of tensors that are kept")
    case .bitsPerWeight(let limit)?:
      let all = candidates { Double($0.byteCount) }
      let fixed = Double(rest.byteCount)
      if let chosen = PlanChoice.choose(all, limit: limit * Double(elements) / 8 - fixed) { return chosen }
      throw BessemerError(
        .usage,
        "\(limit) bits per weight cannot be met with these candidates; the smallest mix has "
          + "\(bits(PlanChoice.smallest(all) + fixed)), of which "
          + "\(bits(fixed + kept.reduce(0) { $0 + Double($1.candidates[0].byteCount) })) are of tensors that are kept")
    case .divergence(let limit)?:
      guard isMeasured else {
        throw BessemerError(
          .usage, "--max-kl needs measured sensitivity: give --sensitivity FILE, or --text FILE to measure it now")
      }
      // As few bytes as the divergence lets them be.
      let all = units.map { unit in
        unit.candidates.map { PlanChoice.Candidate(cost: Double($0.byteCount), size: $0.divergence ?? 0) }
      }
      if let chosen = PlanChoice.choose(all, limit: limit - prepared) { return chosen }
      throw BessemerError(
        .usage,
        "a divergence of \(limit) cannot be met with these candidates; the least is "
          + "\(PlanChoice.smallest(all) + prepared); let layers be kept: add float to --candidates")
    }
  }

  /// Finds what is lost of some rows by each candidate.
  private static func expectErrors(
    _ units: inout [PlanUnit], _ weights: TensorStore, _ method: WeightMethod, rows: Int, threads: Int
  ) throws {
    let schemes = units.map { $0.candidates.map(\.scheme) }
    let layers = units.enumerated().flatMap { place, unit in
      unit.candidates.contains { $0.scheme != nil } ? unit.layers.map { (place, $0) } : []
    }
    // What is lost of inputs depends on how many there are and on the scheme alone.
    var inputs: [String: [Int: Double]] = [:]
    for (place, layer) in layers {
      guard let columns = weights[layer.weight]?.shape.last else { continue }
      for case let scheme? in schemes[place] where inputs[scheme.name]?[columns] == nil {
        inputs[scheme.name, default: [:]][columns] = try RowSample.inputError(scheme, columns: columns)
      }
    }
    let inputErrors = inputs
    let found = Mutex([[Double]](repeating: [], count: layers.count))
    try inParallel(layers.count, threads: threads) { index in
      let (place, layer) = layers[index]
      guard let entry = weights[layer.weight] else { return }
      let sample = try inFile(entry.file) {
        try RowSample(entry, module: layer.module, count: layer.role == .expert ? 2 : rows)
      }
      let errors = try schemes[place].map { scheme in
        try scheme.map { try sample.error($0, method) + (inputErrors[$0.name]?[entry.shape[1]] ?? 0) } ?? 0
      }
      found.withLock { $0[index] = errors }
    }
    let errors = found.withLock { $0 }
    for (index, (place, _)) in layers.enumerated() {
      for (k, error) in errors[index].enumerated() {
        units[place].candidates[k].error += error / Double(units[place].layers.count)
      }
    }
  }
}
