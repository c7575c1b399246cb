import IR
import Passes
import Quantization
import Runtime
import Tensors

/// Sequences on their way through a model, section by section.
struct CalibrationRun {
  let graph: CalibrationGraph
  private let options: RunOptions
  /// For each sequence the values that are read further on.
  private var values: [[ValueID: Tensor]]
  /// Which of them are in float32 in a model of 16 bits.
  private var wide: Set<ValueID> = []

  /// - Parameter sequences: token ids, none empty.
  init(_ graph: CalibrationGraph, _ sequences: [[Int32]], threads: Int) throws {
    self.graph = graph
    var options = RunOptions(threads: threads)
    options.isAsPyTorch = true
    self.options = options
    values = try CalibrationRun.inputs(graph, sequences)
  }

  /// What the graph reads of each sequence.
  static func inputs(_ graph: CalibrationGraph, _ sequences: [[Int32]]) throws -> [[ValueID: Tensor]] {
    guard let tokens = graph.graph.input(named: "input_ids") else {
      throw BessemerError(.unsupportedFeature, "calibration runs models of text; this one has no input_ids")
    }
    return try sequences.map { sequence in
      let ids = Tensor(sequence.map { Int64($0) }, shape: [1, sequence.count])
      var known: [ValueID: Tensor] = [tokens.value: ids]
      for input in graph.graph.inputs where input.name != "input_ids" {
        let type = graph.graph.type(of: input.value).bound(["batch": 1, "sequence": sequence.count])
        guard let shape = type.shape, let initial = input.initial else {
          throw BessemerError(.unsupportedFeature, "calibration does not know what \(quoted(input.name)) should be")
        }
        known[input.value] = try initial.tensor(type.dtype, shape: shape, past: 0)
      }
      return known
    }
  }

  var sequenceCount: Int { values.count }

  /// What to look at on the way through a section, and where to take another value's place.
  struct Watch {
    /// Values that ``observe`` gets for every sequence, in order.
    var observed: Set<ValueID> = []
    /// Nodes that read their first operand as ``round`` returns it, and in which of its ways.
    var roundings: [NodeID: Int] = [:]
    var observe: (_ value: ValueID, _ tensor: Tensor) throws -> Void = { _, _ in }
    var round: (_ value: RoundedValue, _ tensor: Tensor) throws -> Tensor = { $1 }
    /// Layers that compute in float32, see ``WideValues``.
    var wide: Set<NodeID> = []
    /// Weights for this run only.
    var replacing: [TensorName: Tensor] = [:]
    var experts = RoutedExperts.Watch()
  }

  /// Runs all sequences through a part of the order.
  ///
  /// Where values are rounded the part is cut, so that each sequence's values are known before they are rounded.
  mutating func run(_ range: Range<Int>, _ weights: PreparedWeights, _ watch: Watch = Watch()) throws {
    let roundings = watch.roundings.keys.map { graph.place(of: $0) }
    let experts = graph.experts.keys.filter(range.contains)
    let places = Set(roundings + experts + experts.map { $0 + 1 }).filter(range.contains).sorted()
    var start = range.lowerBound
    // Values that were rounded on the way, for each sequence.
    var rounded = [[RoundedValue: Tensor]](repeating: [:], count: values.count)
    for end in places.filter({ $0 > range.lowerBound }) + [range.upperBound] {
      if let experts = graph.experts[start] {
        try run(experts, weights, watch)
        forget(end, &rounded)
        start = end
        continue
      }
      let part = try graph.part(
        start..<end, wanted: watch.observed, roundings: watch.roundings,
        wide: WideValues(values: wide, nodes: watch.wide))
      wide = part.wide
      let session = try session(part.graph, weights, watch.replacing)
      for index in values.indices {
        try Interrupt.check()
        var inputs: [String: Tensor] = [:]
        for value in part.inputs {
          inputs[CalibrationGraph.name(of: value)] = values[index][value]
        }
        for value in part.rounded {
          if rounded[index][value] == nil, let tensor = values[index][value.value] {
            rounded[index][value] = try watch.round(value, tensor)
          }
          inputs[CalibrationGraph.name(of: value)] = rounded[index][value]
        }
        let results = try session.run(inputs)
        for value in part.outputs {
          guard let tensor = results[CalibrationGraph.name(of: value)] else { continue }
          if watch.observed.contains(value) { try watch.observe(value, tensor) }
          values[index][value] = tensor
        }
      }
      forget(end, &rounded)
      start = end
    }
  }

  /// A graph as it computes while it is calibrated.
  private func session(
    _ part: Graph, _ weights: PreparedWeights, _ replacing: [TensorName: Tensor]
  ) throws -> Session {
    // Attention and linear layers with a bias are computed at once, as frameworks do, which rounds less.
    var fused = part
    // Activations are not taken into linear layers, whose results are rounded before them.
    let passes: [any GraphPass] = [FuseAttention(keepsCausalMask: true), FuseLinear(), FuseSilu()]
    _ = try PassRunner(cleanupPasses() + passes).run(on: &fused)
    if graph.fusesAttention { ExactScales.run(on: &fused) } else { try EagerAttention.run(on: &fused) }
    ExpertChoice.run(on: &fused)
    return Session(Model(fused, weights: try weights.store(for: fused, replacing: replacing), options: options))
  }

  private mutating func run(_ experts: RoutedExperts, _ weights: PreparedWeights, _ watch: Watch) throws {
    var own = watch.experts
    own.weight = { try watch.replacing[$0.layer.weight] ?? watch.experts.weight($0) }
    let results = try experts.run(values, graph.graph, weights, own) { try session($0, weights, $1) }
    if results.first?.dtype != graph.graph.type(of: experts.result).dtype { wide.insert(experts.result) }
    for (index, tensor) in results.enumerated() {
      if watch.observed.contains(experts.result) { try watch.observe(experts.result, tensor) }
      values[index][experts.result] = tensor
    }
  }

  /// Lets go of what nothing at or after a place reads.
  private mutating func forget(_ place: Int, _ rounded: inout [[RoundedValue: Tensor]]) {
    for index in values.indices {
      values[index] = values[index].filter { graph.isRead($0.key, from: place) }
      rounded[index] = rounded[index].filter { graph.isRead($0.key.value, from: place) }
    }
  }

  /// The values of a sequence that are known now.
  func values(of sequence: Int) -> [ValueID: Tensor] { values[sequence] }
}
