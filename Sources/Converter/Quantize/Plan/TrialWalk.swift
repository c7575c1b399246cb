import IR
import Quantization
import Runtime
import Synchronization
import Tensors
import Validation

/// Sequences on their way through a model as it is, and beside them as they are where it was prepared, and where a part
/// was quantized.
struct TrialWalk {
  /// A part of a section that is quantized alone.
  struct Trial {
    let section: Int
    /// Nil for all parts together, as they are where all before them are quantized.
    let part: Int?
    /// Whether this is what the whole model has here, quantized.
    var isWhole = false
    /// The section's weights as algorithms left them.
    var weights: PreparedWeights
    /// What stands for those that are quantized.
    var tensors: [TensorName: Tensor] = [:]
    /// The modules whose outputs are looked at.
    var watched: Set<String> = []
  }

  typealias Error = (lost: Double, all: Double)

  /// Sequences with something changed on their way.
  private struct Path {
    /// What each keeps for the sections to come.
    var values: [[ValueID: Tensor]]
    /// The sum over all positions, in nats; as `eval` has it, the last token of a sequence predicts nothing.
    var divergence = 0.0
  }

  private let graph: CalibrationGraph
  private let sites: [LinearSite]
  private let arithmetic: QuantizedArithmetic
  private let threads: Int
  private let logits: ValueID
  /// For each sequence the values that are read further on.
  private var own: [[ValueID: Tensor]]
  /// Where the model is smoothed or rotated, and nothing quantized; nil where nothing of this is done.
  private var prepared: Path?
  private var whole: Path
  private var trials: [(section: Int, part: Int, path: Path)] = []
  /// Positions whose scores were compared.
  private(set) var positions = 0

  /// - Parameters:
  ///   - sequences: token ids, at least two each.
  ///   - isPrepared: whether weights are changed before they are quantized.
  init(
    _ graph: CalibrationGraph, _ sites: [LinearSite], _ sequences: [[Int32]], arithmetic: QuantizedArithmetic,
    isPrepared: Bool, threads: Int
  ) throws {
    guard let output = graph.graph.outputs.first(where: { $0.name == "logits" }) else {
      throw BessemerError(.modelInput, "the model has no output logits")
    }
    (self.graph, self.sites, self.arithmetic, self.threads) = (graph, sites, arithmetic, threads)
    logits = output.value
    own = try CalibrationRun.inputs(graph, sequences)
    whole = Path(values: own)
    prepared = isPrepared ? whole : nil
  }

  /// What the trials came to, what the whole model did, and what it does with nothing quantized.
  var divergences: (trials: [(section: Int, part: Int, sum: Double)], whole: Double, prepared: Double) {
    (trials.map { ($0.section, $0.part, $0.path.divergence) }, whole.divergence, prepared?.divergence ?? 0)
  }

  /// Takes all sequences through a section, and begins its trials; answers with the errors of what watched layers give,
  /// for each trial.
  ///
  /// - Parameter weights: the model's own, and those with nothing quantized.
  mutating func run(
    _ section: Int, _ weights: (own: PreparedWeights, prepared: PreparedWeights), _ new: [Trial],
    _ scheme: any LinearScheme
  ) throws -> [[String: Error]] {
    let range = graph.sections[section]
    let begin = prepared?.values ?? own
    let outputs = Dictionary(
      sites.filter { range.contains(graph.place(of: $0.node)) }.map {
        ($0.layer.module, $0.output ?? graph.graph[$0.node].results[0])
      }, uniquingKeysWith: { first, _ in first })
    func wanted(_ trial: Trial) -> Set<ValueID> { Set(trial.watched.compactMap { outputs[$0] }) }
    func sectionRun(
      _ weights: PreparedWeights, _ wanted: Set<ValueID>, _ tensors: [TensorName: Tensor] = [:]
    ) throws -> SectionRun {
      try SectionRun(
        graph, range, wanted: wanted, weights, tensors, tensors.isEmpty ? nil : scheme, arithmetic: arithmetic,
        threads: threads)
    }
    /// What the sequences are, as far as trials that begin here hold theirs against it.
    var given: [[ValueID: Tensor]] = []
    do {
      let plain = try sectionRun(weights.own, new.reduce(into: []) { $0.formUnion(wanted($1)) })
      let onward = try prepared == nil ? plain : sectionRun(weights.prepared, [])
      for sequence in own.indices {
        try Interrupt.check()
        let made = try plain(own[sequence])
        own[sequence] = kept(own[sequence], made, range)
        positions += made[logits].map { $0.shape[1] - 1 } ?? 0
        if !new.contains(where: \.isWhole) { try move(&whole, sequence, onward, made, range) }
        if prepared != nil { try move(&prepared!, sequence, onward, made, range) }
        for trial in trials.indices { try move(&trials[trial].path, sequence, onward, made, range) }
        given.append(new.isEmpty ? [:] : made)
      }
    }
    return try new.map { trial in
      let quantized = try sectionRun(trial.weights, wanted(trial), trial.tensors)
      // What the layers would give if they were not quantized, but prepared.
      let exact = try prepared == nil || trial.watched.isEmpty ? nil : sectionRun(trial.weights, wanted(trial))
      var (path, errors): (Path, [String: Error]) = (Path(values: begin), [:])
      for sequence in begin.indices {
        try Interrupt.check()
        if trial.isWhole { try move(&whole, sequence, quantized, given[sequence], range) }
        guard trial.part != nil else { continue }
        let expected = try exact?(begin[sequence]) ?? given[sequence]
        let made = try move(&path, sequence, quantized, given[sequence], range)
        for module in trial.watched {
          guard let output = outputs[module], let a = expected[output], let b = made[output] else { continue }
          let before = errors[module] ?? (0, 0)
          let error = TrialWalk.error(a.floats, b.floats)
          errors[module] = (before.lost + error.lost, before.all + error.all)
        }
      }
      if let part = trial.part { trials.append((section, part, path)) }
      return errors
    }
  }

  /// The values of a sequence that later sections read; its scores are not.
  private func kept(
    _ values: [ValueID: Tensor], _ made: [ValueID: Tensor], _ section: Range<Int>
  ) -> [ValueID: Tensor] {
    values.merging(made) { $1 }.filter { $0.key != logits && graph.isRead($0.key, from: section.upperBound) }
  }

  /// Takes a sequence of a path through a section; scores are compared with the `exact` ones at once: they are large.
  @discardableResult
  private func move(
    _ path: inout Path, _ sequence: Int, _ run: SectionRun, _ exact: [ValueID: Tensor], _ section: Range<Int>
  ) throws -> [ValueID: Tensor] {
    let made = try run(path.values[sequence])
    path.values[sequence] = kept(path.values[sequence], made, section)
    if let own = exact[logits], let other = made[logits] { path.divergence += try divergence(own, other) }
    return made
  }

  /// The sum over positions, in their order.
  private func divergence(_ own: Tensor, _ other: Tensor) throws -> Double {
    let found = Mutex([Double](repeating: 0, count: own.shape[1] - 1))
    try inParallel(own.shape[1] - 1, threads: threads) { position in
      let value = Scores(own, position).divergence(of: Scores(other, position))
      found.withLock { $0[position] = value }
    }
    return found.withLock { $0.reduce(0, +) }
  }

  private static func error(_ a: [Float], _ b: [Float]) -> Error {
    var sum: Error = (0, 0)
    for (x, y) in zip(a, b) {
      sum.lost += Double(x - y) * Double(x - y)
      sum.all += Double(x) * Double(x)
    }
    return sum
  }
}
