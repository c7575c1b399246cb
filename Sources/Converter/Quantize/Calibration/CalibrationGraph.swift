import IR
import Quantization
import Tensors

/// A value as some of its readers see it: rounded in one of several ways.
struct RoundedValue: Hashable, Comparable {
  let value: ValueID
  let rounding: Int

  static func < (a: RoundedValue, b: RoundedValue) -> Bool { (a.value, a.rounding) < (b.value, b.rounding) }
}

/// A language model's graph as calibration runs it: whole sequences, no cache, in parts of any length.
///
/// Nodes are addressed by their place in the order; every part of the order is a graph of its own, between the values
/// that cross its ends.
struct CalibrationGraph {
  let graph: Graph
  let order: [NodeID]
  /// The decoder layers and what stands before, between and after them: all of the order.
  let sections: [Range<Int>]
  /// What the model would keep for later tokens, in the order of its states.
  let cached: [ValueID]
  /// Whether attention is computed at once, as PyTorch does unless a program asks for the single steps.
  var fusesAttention = true
  /// By the place of their operator.
  let experts: [Int: RoutedExperts]
  /// By ``ValueID/ordinal``: values that depend on weights alone.
  private let isParameter: [Bool]
  /// By ``ValueID/ordinal``: where a value is made; -1 for inputs.
  private let makers: [Int]
  /// By ``ValueID/ordinal``: the last place that reads it; `Int.max` for outputs.
  private let lastUses: [Int]

  /// Throws ``ErrorCode/unsupportedFeature`` for a model whose states are not caches that grow.
  init(_ model: Graph) throws {
    (graph, cached) = try CalibrationGraph.withoutStates(model)
    order = graph.nodeIDs
    let sites = Dictionary(grouping: LinearFinder(graph).sites().filter { $0.expertPart != nil }, by: \.node)
    var experts: [Int: RoutedExperts] = [:]
    var isParameter = [Bool](repeating: false, count: graph.valueCount)
    var makers = [Int](repeating: -1, count: graph.valueCount)
    var lastUses = [Int](repeating: -1, count: graph.valueCount)
    for (place, id) in order.enumerated() {
      let node = graph[id]
      experts[place] = RoutedExperts(node, sites[id] ?? [])
      let isConstant = node.operands.allSatisfy { isParameter[$0.ordinal] }
      for result in node.results {
        isParameter[result.ordinal] = isConstant
        makers[result.ordinal] = place
      }
      for operand in node.operands { lastUses[operand.ordinal] = place }
    }
    for output in graph.outputs { lastUses[output.value.ordinal] = .max }
    self.experts = experts
    (self.isParameter, self.makers, self.lastUses) = (isParameter, makers, lastUses)
    sections = CalibrationGraph.sections(graph, order, makers: makers, lastUses: lastUses, isParameter)
  }

  /// The same graph where every cache is empty before a run and forgotten after it.
  private static func withoutStates(_ model: Graph) throws -> (Graph, cached: [ValueID]) {
    let symbols = Set(
      model.states.compactMap { state in
        if case .symbol(let name) = model.type(of: state.value).dims[state.axis] { name } else { nil }
      })
    let states = Set(model.states.map(\.value))
    let inputs = model.inputs.map { input in
      let type = symbols.reduce(model.type(of: input.value)) { $0.withoutSymbol($1) }
      return (value: input.value, input: input.name, type: type, initial: input.initial)
    }
    var cached: [ValueID: ValueID] = [:]
    var graph = try model.extracted(
      name: model.name, inputs: inputs, outputs: model.outputs.map { ($0.value, $0.name) }
    ) { _, node, operands in
      guard node.operands.contains(where: states.contains) else { return nil }
      guard node.op is Concat, operands.count == 1 else {
        throw BessemerError(
          .unsupportedFeature, "the model keeps a state that is no cache; calibration runs sequences without one")
      }
      for state in node.operands where states.contains(state) { cached[state] = operands[0] }
      return operands
    }
    graph.sortTopologically()
    return (graph, model.states.compactMap { cached[$0.value] })
  }

  /// The layer that a weight belongs to: its name as far as the first number, `model.layers.3`; empty for none.
  static func layer(of weight: TensorName) -> Substring {
    let name = weight.string
    var end = name.startIndex
    for part in name.split(separator: ".") {
      end = part.endIndex
      if Int(part) != nil { return name[..<end] }
    }
    return ""
  }

  /// Cuts between weights of different layers, where the fewest values cross.
  private static func sections(
    _ graph: Graph, _ order: [NodeID], makers: [Int], lastUses: [Int], _ isParameter: [Bool]
  ) -> [Range<Int>] {
    var cuts = [0]
    var last: (place: Int, layer: Substring)?
    // Values that are made before a place and read at it or later.
    var crossing = [Int](repeating: 0, count: order.count + 2)
    for value in makers.indices where makers[value] >= 0 && !isParameter[value] && lastUses[value] > makers[value] {
      crossing[makers[value] + 1] += 1
      crossing[min(lastUses[value], order.count) + 1] -= 1
    }
    for place in 1..<crossing.count { crossing[place] += crossing[place - 1] }
    for (place, id) in order.enumerated() {
      guard let weight = graph[id].op as? Weight else { continue }
      let layer = layer(of: weight.name)
      if let last, last.layer != layer {
        let candidates = (last.place + 1)...place
        cuts.append(candidates.min { crossing[$0] < crossing[$1] } ?? place)
      }
      last = (place, layer)
    }
    return zip(cuts, cuts.dropFirst() + [order.count]).map { $0..<$1 }.filter { !$0.isEmpty }
  }

  /// Where a node stands.
  func place(of node: NodeID) -> Int { makers[graph[node].results[0].ordinal] }

  /// The weights that the nodes of a section read, each once, wherever they stand.
  func weights(in section: Range<Int>) -> [TensorName] {
    var names: [TensorName] = []
    var (seen, known): (Set<NodeID>, Set<TensorName>) = ([], [])
    func visit(_ id: NodeID) {
      guard seen.insert(id).inserted else { return }
      if let weight = graph[id].op as? Weight, known.insert(weight.name).inserted { names.append(weight.name) }
      for operand in graph[id].operands where isParameter[operand.ordinal] {
        if let maker = graph.producer(of: operand) { visit(maker) }
      }
    }
    for place in section { visit(order[place]) }
    return names
  }

  /// The place after the node that makes a value; 0 for inputs.
  func start(of value: ValueID) -> Int { makers[value.ordinal] + 1 }

  /// A part of the order as a graph. Inputs and outputs are named after their values, see ``name(of:)``.
  struct Part {
    let graph: Graph
    let inputs: [ValueID]
    let outputs: [ValueID]
    /// Values whose place another tensor takes for some readers, see ``rounded(_:_:)``.
    let rounded: [RoundedValue]
    /// Values that are in float32 here, whatever their type in the whole graph, see ``WideValues``.
    let wide: Set<ValueID>
  }

  static func name(of value: ValueID) -> String { "v\(value.ordinal)" }
  /// The input that stands for a value after quantization.
  static func name(of rounded: RoundedValue) -> String { "q\(rounded.value.ordinal).\(rounded.rounding)" }

  /// - Parameters:
  ///   - wanted: values to return beside those that are read later.
  ///   - roundings: nodes that read their first operand quantized, and which way.
  ///   - wide: values before the part that are in float32, and nodes that compute in it.
  ///   - stored: adds what stands for a weight; nil for one that is taken as it is.
  func part(
    _ range: Range<Int>, wanted: Set<ValueID> = [], roundings: [NodeID: Int] = [:], wide: WideValues = WideValues(),
    stored: (inout Graph, Weight) throws -> ValueID? = { _, _ in nil }
  ) throws -> Part {
    var inputs: Set<ValueID> = []
    var outputs = wanted
    for place in range {
      let node = graph[order[place]]
      for operand in node.operands where !isParameter[operand.ordinal] && makers[operand.ordinal] < range.lowerBound {
        inputs.insert(operand)
      }
      for result in node.results where !isParameter[result.ordinal] && lastUses[result.ordinal] >= range.upperBound {
        outputs.insert(result)
      }
    }
    outputs = outputs.filter { range.contains(makers[$0.ordinal]) }
    let (ins, outs) = (inputs.sorted(), outputs.sorted())
    var rounded: [RoundedValue: ValueID] = [:]
    var wide = wide
    let part = try graph.extracted(
      name: graph.name, inputs: ins.map { ($0, CalibrationGraph.name(of: $0), wide.type(of: $0, graph), nil) },
      outputs: outs.map { ($0, CalibrationGraph.name(of: $0)) }
    ) { part, node, operands in
      if let weight = node.op as? Weight { return try stored(&part, weight).map { [$0] } }
      guard let maker = graph.producer(of: node.results[0]) else { return nil }
      var operands = operands
      if let rounding = roundings[maker] {
        let value = RoundedValue(value: node.operands[0], rounding: rounding)
        operands[0] =
          rounded[value] ?? part.addInput(CalibrationGraph.name(of: value), wide.type(of: value.value, graph))
        rounded[value] = operands[0]
      } else if !wide.takes(maker, node) {
        return nil
      }
      return try wide.add(node, maker, operands, to: &part)
    }
    return Part(
      graph: part, inputs: ins, outputs: outs, rounded: rounded.keys.sorted(), wide: wide.values)
  }

  /// Whether anything at or after a place reads the value.
  func isRead(_ value: ValueID, from place: Int) -> Bool { lastUses[value.ordinal] >= place }
}
