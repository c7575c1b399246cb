public import Tensors

/// What running an operator once takes: arithmetic operations, and bytes that are read and written.
public struct OpCost: Hashable, Sendable {
  /// A product and the sum that takes it in count as two; other operators count one for each element, however costly
  /// a logarithm is.
  public var operations: Double
  /// Every operand read and every result written once. What only looks at its operand in another way moves nothing.
  public var bytes: Double

  public init(operations: Double = 0, bytes: Double = 0) {
    self.operations = operations
    self.bytes = bytes
  }

  public static func + (a: OpCost, b: OpCost) -> OpCost {
    OpCost(operations: a.operations + b.operations, bytes: a.bytes + b.bytes)
  }
}

extension Op {
  /// Operators that do more than something to each element say so in their own file.
  public func cost(_ operands: [TensorType], _ results: [TensorType]) -> OpCost {
    let traits = Self.schema.traits
    if traits.contains(.view) { return OpCost() }
    let elements = (operands + results).map(\.elementCount).max() ?? 0
    let isArithmetic = !traits.contains(.copy) && !traits.contains(.shapeOnly)
    return OpCost(
      operations: isArithmetic ? elements : 0,
      bytes: (traits.contains(.shapeOnly) ? 0 : operands.byteCount) + results.byteCount)
  }
}

extension TensorType {
  /// The number of elements, all dimensions known; as a floating-point number, because it may be any size.
  var elementCount: Double { dims.reduce(1) { $0 * Double($1.value ?? 0) } }
  var byteCount: Double { (elementCount * Double(dtype.bits) / 8).rounded(.up) }
  /// A dimension counted from the end, 0 for the last.
  func last(_ k: Int) -> Double { Double(dims[rank - 1 - k].value ?? 0) }
}

extension [TensorType] {
  var byteCount: Double { reduce(0) { $0 + $1.byteCount } }
}

/// What running a graph once takes, by operator.
public struct GraphCost: Sendable {
  public private(set) var byOperator: [String: OpCost] = [:]
  /// Elements of all weights.
  public private(set) var parameterCount = 0
  /// The sizes that it is for.
  public let symbols: [String: Int]

  public var total: OpCost { byOperator.values.reduce(OpCost(), +) }

  /// The sizes of a graph that nothing is said about: 1 for `batch` and `images`, 0 for lengths of states, 64 for the
  /// height and width of pictures, which count patches or latents, else 512.
  public static func defaultSizes(of graph: Graph) -> [String: Int] {
    var symbols: [String: Int] = [:]
    for value in graph.states.map(\.value) + graph.inputs.map(\.value) {
      for case .symbol(let name) in graph.type(of: value).dims {
        for part in name.split(whereSeparator: { $0 == "+" || $0 == "*" }).map(String.init) where Int(part) == nil {
          symbols[part] = commonSizes[part] ?? 512
        }
      }
    }
    for state in graph.states {
      if case .symbol(let name) = graph.type(of: state.value).dims[state.axis] { symbols[name] = 0 }
    }
    return symbols
  }

  private static let commonSizes = ["batch": 1, "images": 1, "height": 64, "width": 64]

  /// - Parameter symbols: every size of the graph, see ``defaultSizes(of:)``.
  public init(_ graph: Graph, sizes symbols: [String: Int]) throws {
    self.symbols = symbols
    var types = try graph.types(binding: symbols)
    // What is computed of weights alone is computed once, so it costs nothing, and is read as it is stored.
    var isParameter = [Bool](repeating: false, count: graph.valueCount)
    for id in graph.nodeIDs {
      let node = graph[id]
      let weight = node.op as? Weight
      if let weight { parameterCount += weight.shape.reduce(1, *) }
      if weight != nil || node.op is Constant || node.operands.allSatisfy({ isParameter[$0.ordinal] }) {
        let stored = node.operands.first.map { types[$0.ordinal].dtype }
        for result in node.results {
          isParameter[result.ordinal] = true
          if let stored { types[result.ordinal] = TensorType(stored, types[result.ordinal].dims) }
        }
        continue
      }
      let cost = node.op.cost(
        node.operands.map { types[$0.ordinal] }, node.results.map { types[$0.ordinal] })
      let name = Swift.type(of: node.op).schema.name
      byOperator[name] = (byOperator[name] ?? OpCost()) + cost
    }
  }
}
