import IR
import Tensors

/// A graph whose parameters are plain weights, and how each of these is computed from the original.
///
/// Each largest expression over weights becomes one weight, equal expressions the same one. What depends on constants
/// alone stays as it is, and so does an operator that makes more elements than it reads, as `expand` does: storing its
/// result would make the bundle larger than the model.
struct StoredGraph {
  /// A weight to store.
  struct Tensor {
    let name: TensorName
    let dtype: DType
    let shape: [Int]
    let layout: WeightLayout
    /// The value of ``StoredGraph/original`` that it is.
    let value: ValueID
  }

  /// The graph to store.
  private(set) var graph: Graph
  /// The graph that the values of ``tensors`` belong to.
  let original: Graph
  /// In the order of their first use.
  private(set) var tensors: [Tensor] = []

  /// What a value of the original is to its users.
  private enum Kind {
    /// Depends on inputs, or is computed when the graph runs.
    case computed
    /// Depends on constants alone.
    case constant
    /// Is or can be stored; the number is the same for equal expressions.
    case stored(Int)
  }

  private struct Expression: Hashable {
    let op: OpKey
    let operands: [Int]
    let result: Int
  }

  /// Throws ``ErrorCode/graph`` when the graph has a cycle.
  init(_ graph: Graph) throws {
    var original = graph
    original.eraseDeadNodes()
    guard original.sortTopologically() else { throw BessemerError(.graph, "the graph has a cycle") }
    self.original = original
    self.graph = original
    let kinds = StoredGraph.kinds(of: original)
    let frontier = StoredGraph.frontier(of: original, kinds)
    try replace(frontier)
  }

  private static func kinds(of graph: Graph) -> [Kind] {
    var kinds = [Kind](repeating: .computed, count: graph.valueCount)
    var expressions: [Expression: Int] = [:]
    for id in graph.nodeIDs {
      let node = graph[id]
      var operands: [Int] = []
      var (isStored, isConstant, elementCount) = (node.op is Weight, true, 0)
      for operand in node.operands {
        elementCount += count(graph.type(of: operand)) ?? 0
        switch kinds[operand.ordinal] {
        case .computed: isConstant = false
        case .constant: operands.append(-1 - operand.ordinal)
        case .stored(let number):
          operands.append(number)
          isStored = true
        }
      }
      guard isConstant || node.op is Weight else { continue }
      guard isStored else {
        for result in node.results { kinds[result.ordinal] = .constant }
        continue
      }
      let counts = node.results.map { count(graph.type(of: $0)) }
      let total = counts.reduce(0) { $0 &+ ($1 ?? 1 << 60) }
      guard node.op is Weight || total <= elementCount else { continue }
      for (k, result) in node.results.enumerated() {
        let expression = Expression(op: OpKey(node.op), operands: operands, result: k)
        let number = expressions[expression] ?? expressions.count
        expressions[expression] = number
        kinds[result.ordinal] = .stored(number)
      }
    }
    return kinds
  }

  /// The stored values that something computed reads, or that leave the graph, in order, with their numbers.
  private static func frontier(of graph: Graph, _ kinds: [Kind]) -> [(value: ValueID, number: Int)] {
    var frontier: [(ValueID, Int)] = []
    var seen: Set<ValueID> = []
    func visit(_ value: ValueID) {
      guard case .stored(let number) = kinds[value.ordinal], seen.insert(value).inserted else { return }
      frontier.append((value, number))
    }
    for id in graph.nodeIDs {
      let node = graph[id]
      if let result = node.results.first, case .stored = kinds[result.ordinal] { continue }
      node.operands.forEach(visit)
    }
    graph.states.map(\.update).forEach(visit)
    graph.outputs.map(\.value).forEach(visit)
    return frontier
  }

  private mutating func replace(_ frontier: [(value: ValueID, number: Int)]) throws {
    var names = WeightNames()
    var named: [Int: TensorName] = [:]
    // A weight that is stored as it is keeps its name whatever else is made from it.
    for (value, number) in frontier where named[number] == nil {
      if let (_, op) = original.producer(of: value, as: Weight.self) { named[number] = names.keep(op.name) }
    }
    var weights: [Int: ValueID] = [:]
    var sources: [(name: TensorName, source: ValueID, weight: ValueID)] = []
    for (value, number) in frontier {
      let type = original.type(of: value)
      guard let shape = type.shape else { preconditionFailure("a weight of unknown shape") }
      if weights[number] == nil {
        let name = named[number] ?? names.name(value, in: original)
        let node = original.producer(of: value).map { original[$0].name } ?? ""
        do {
          let weight = try graph.add(Weight(name, type.dtype, shape: shape), name: node)[0]
          weights[number] = weight
          sources.append((name, value, weight))
        } catch {
          throw BessemerError(.graph, "weight \(quoted(name.string)): \(error)")
        }
      }
      if let weight = weights[number] { graph.replaceUses(of: value, with: weight) }
    }
    graph.eraseDeadNodes()
    guard graph.sortTopologically() else { throw BessemerError(.graph, "the graph has a cycle") }
    try graph.verify()
    tensors = sources.map { name, source, weight in
      let type = original.type(of: source)
      return Tensor(name: name, dtype: type.dtype, shape: type.shape ?? [], layout: layout(of: weight), value: source)
    }
  }

  /// Panels for what is nothing but the matrix of a product.
  private func layout(of weight: ValueID) -> WeightLayout {
    let type = graph.type(of: weight)
    guard let shape = type.shape, WeightLayout.panelShape(type.dtype, shape: shape) != nil, !graph.isRoot(weight) else {
      return .rowMajor
    }
    let isMatrix = graph.users(of: weight).allSatisfy { user in
      let node = graph[user]
      let isMatrix = { (k: Int) in node.op is Linear ? k == 1 : node.op is MixtureOfExperts && k >= 3 }
      return node.operands.indices.allSatisfy { node.operands[$0] != weight || isMatrix($0) }
    }
    return isMatrix ? .panels : .rowMajor
  }

  private static func count(_ type: TensorType) -> Int? { type.shape.flatMap(Tensors.Tensor.elementCount(of:)) }
}
