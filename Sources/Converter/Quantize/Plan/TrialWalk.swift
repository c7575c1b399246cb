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

  private let graph: CalibrationGraph
  private let sites: [LinearSite]
  private let arithmetic: QuantizedArithmetic
  private let threads: Int
  private let logits: ValueID
  /// For each sequence the values that are read further on.
  private var own: [[ValueID: Tensor]]
  /// The same where every section had its last trial, that of all its parts.
  private var whole: [[ValueID: Tensor]]
  private var trials: [(trial: Trial, values: [[ValueID: Tensor]])] = []

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
    whole = own
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
    func start(_ values: [ValueID: Tensor], _ made: [ValueID: Tensor]) -> [ValueID: Tensor] {
      values.merging(made) { $1 }.filter { graph.isRead($0.key, from: range.upperBound) }
    }
    var given: [[ValueID: Tensor]] = []
    do {
      let plain = try SectionRun(
        graph, range, wanted: new.reduce(into: []) { $0.formUnion(wanted($1)) }, weights, arithmetic: arithmetic,
        threads: threads)
      for sequence in own.indices {
        try Interrupt.check()
        given.append(try plain(own[sequence]))
        own[sequence] = start(own[sequence], given[sequence])
        if new.isEmpty { whole[sequence] = start(whole[sequence], try plain(whole[sequence])) }
        for trial in trials.indices {
          let values = trials[trial].values[sequence]
          trials[trial].values[sequence] = start(values, try plain(values))
        }
      }
    }
    return try new.enumerated().map { place, trial in
      let quantized = try SectionRun(
        graph, range, wanted: wanted(trial), weights, trial.tensors, scheme, arithmetic: arithmetic, threads: threads)
      var (values, errors): ([[ValueID: Tensor]], [String: Error]) = ([], [:])
      for sequence in begin.indices {
        try Interrupt.check()
        let made = try quantized(begin[sequence])
        values.append(start(begin[sequence], made))
        if place == new.count - 1 {
          whole[sequence] = start(whole[sequence], try quantized(whole[sequence]))
        }
        for module in trial.watched {
          guard let output = outputs[module], let a = given[sequence][output], let b = made[output] else { continue }
          let before = errors[module] ?? (0, 0)
          let error = TrialWalk.error(a.floats, b.floats)
          errors[module] = (before.lost + error.lost, before.all + error.all)
        }
      }
      // Only where it stands is asked for later.
      trials.append((Trial(section: trial.section, part: trial.part), values))
      return errors
    }
  }

  private static func error(_ a: [Float], _ b: [Float]) -> Error {
    var sum: Error = (0, 0)
    for (x, y) in zip(a, b) {
      sum.lost += Double(x - y) * Double(x - y)
      sum.all += Double(x) * Double(x)
    }
    return sum
  }

  /// The sum over all positions of each trial's divergence, in nats, that of all sections' last trials together, and
  /// how many positions there are; as `eval` has it, the last token of a sequence predicts nothing.
  func divergences() throws -> (trials: [(Trial, Double)], whole: Double, positions: Int) {
    var sums = [Double](repeating: 0, count: trials.count + 1)
    var positions = 0
    for sequence in own.indices {
      guard let exact = own[sequence][logits] else {
        throw BessemerError(.unsupportedFeature, "the model's logits do not depend on its layers")
      }
      let count = exact.shape[1] - 1
      positions += count
      let others = trials.map { $0.values[sequence][logits] } + [whole[sequence][logits]]
      let found = Mutex([[Double]](repeating: [], count: count))
      try inParallel(count, threads: threads) { position in
        let own = Scores(exact, position)
        let values = others.map { other in other.map { own.divergence(of: Scores($0, position)) } ?? 0 }
        found.withLock { $0[position] = values }
      }
      for values in found.withLock({ $0 }) { for (k, value) in values.enumerated() { sums[k] += value } }
    }
    return (zip(trials, sums).map { ($0.trial, $1) }, sums[trials.count], positions)
  }
}
