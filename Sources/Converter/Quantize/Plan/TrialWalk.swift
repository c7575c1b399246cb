import IR
import Quantization
import Runtime
import Synchronization
import Tensors
import Validation

/// Sequences on their way through a model as it is, and beside them as they are where a part was quantized.
struct TrialWalk {
  /// A part of a section that is quantized alone.
  struct Trial {
    let section: Int
    let part: Int
    /// What stands for its weights.
    var tensors: [TensorName: Tensor] = [:]
    /// The modules whose outputs are looked at.
    var watched: Set<String> = []
  }

  typealias Error = (lost: Double, all: Double)

  /// Sequences with something quantized on their way.
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
  /// Where every section had its last trial, that of all its parts.
  private var whole: Path
  private var trials: [(trial: Trial, path: Path)] = []
  /// Positions whose scores were compared.
  private(set) var positions = 0

  /// - Parameter sequences: token ids, at least two each.
  init(
    _ graph: CalibrationGraph, _ sites: [LinearSite], _ sequences: [[Int32]], arithmetic: QuantizedArithmetic,
    threads: Int
  ) throws {
    guard let output = graph.graph.outputs.first(where: { $0.name == "logits" }) else {
      throw BessemerError(.modelInput, "the model has no output logits")
    }
    (self.graph, self.sites, self.arithmetic, self.threads) = (graph, sites, arithmetic, threads)
    logits = output.value
    own = try CalibrationRun.inputs(graph, sequences)
    whole = Path(values: own)
  }

  /// What the trials came to, and what all sections' last trials together.
  var divergences: (trials: [(Trial, Double)], whole: Double) {
    (trials.map { ($0.trial, $0.path.divergence) }, whole.divergence)
  }

  /// Takes all sequences through a section, and begins its trials; answers with the errors of what watched layers give,
  /// for each trial.
  mutating func run(
    _ section: Int, _ weights: PreparedWeights, _ new: [Trial], _ scheme: any LinearScheme
  ) throws -> [[String: Error]] {
    let range = graph.sections[section]
    let begin = own
    let outputs = Dictionary(
      sites.filter { range.contains(graph.place(of: $0.node)) }.map {
        ($0.layer.module, $0.output ?? graph.graph[$0.node].results[0])
      }, uniquingKeysWith: { first, _ in first })
    func wanted(_ trial: Trial) -> Set<ValueID> { Set(trial.watched.compactMap { outputs[$0] }) }
    func sectionRun(_ wanted: Set<ValueID>, _ tensors: [TensorName: Tensor] = [:]) throws -> SectionRun {
      try SectionRun(
        graph, range, wanted: wanted, weights, tensors, tensors.isEmpty ? nil : scheme, arithmetic: arithmetic,
        threads: threads)
    }
    /// What the sequences are, as far as trials that begin here hold theirs against it.
    var given: [[ValueID: Tensor]] = []
    do {
      let plain = try sectionRun(new.reduce(into: []) { $0.formUnion(wanted($1)) })
      for sequence in own.indices {
        try Interrupt.check()
        let made = try plain(own[sequence])
        own[sequence] = kept(own[sequence], made, range)
        positions += made[logits].map { $0.shape[1] - 1 } ?? 0
        if new.isEmpty { try move(&whole, sequence, plain, made, range) }
        for trial in trials.indices { try move(&trials[trial].path, sequence, plain, made, range) }
        given.append(new.isEmpty ? [:] : made)
      }
    }
    return try new.enumerated().map { place, trial in
      let quantized = try sectionRun(wanted(trial), trial.tensors)
      var (path, errors): (Path, [String: Error]) = (Path(values: begin), [:])
      for sequence in begin.indices {
        try Interrupt.check()
        let made = try move(&path, sequence, quantized, given[sequence], range)
        if place == new.count - 1 { try move(&whole, sequence, quantized, given[sequence], range) }
        for module in trial.watched {
          guard let output = outputs[module], let a = given[sequence][output], let b = made[output] else { continue }
          let before = errors[module] ?? (0, 0)
          let error = TrialWalk.error(a.floats, b.floats)
          errors[module] = (before.lost + error.lost, before.all + error.all)
        }
      }
      // Only where it stands is asked for later.
      trials.append((Trial(section: trial.section, part: trial.part), path))
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
