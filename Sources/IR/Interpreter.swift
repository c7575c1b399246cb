public import Tensors

/// Runs a graph by the plain meaning of its operators, one node after the other: slow, exact, and the judge of
/// everything faster.
public struct Interpreter {
  private let graph: Graph
  private let weight: (TensorName) throws -> Tensor

  /// `weight` returns the tensor of a name.
  public init(
    _ graph: Graph,
    weight: @escaping (TensorName) throws -> Tensor = { _ in throw BessemerError(.weights, "no weights") }
  ) {
    self.graph = graph
    self.weight = weight
  }

  /// The outputs by name for these inputs, and the states after the run. States that are not given start empty.
  public func run(_ inputs: [String: Tensor], states: [String: Tensor] = [:]) throws -> (
    outputs: [String: Tensor], states: [String: Tensor]
  ) {
    var values = try graph.initialValues(inputs, states: states)
    for id in graph.nodeIDs {
      let node = graph[id]
      let operands = node.operands.map { operand in
        guard let value = values[operand] else { preconditionFailure("the graph is not sorted") }
        return value
      }
      let results: [Tensor]
      if let op = node.op as? Weight {
        results = [try weight(op.name)]
      } else {
        let types = try Graph.infer(node.op, operands.map(\.type))
        results = try node.op.evaluate(operands)
        for (result, type) in zip(results, types) where result.type != type {
          preconditionFailure("\(Swift.type(of: node.op).schema.name) gives \(result.type), inferred \(type)")
        }
      }
      for (value, result) in zip(node.results, results) { values[value] = result }
    }
    let outputs = graph.outputs.map { ($0.name, values[$0.value]!) }
    let updates = graph.states.map { ($0.name, values[$0.update]!) }
    return (Dictionary(uniqueKeysWithValues: outputs), Dictionary(uniqueKeysWithValues: updates))
  }
}

extension Graph {
  /// Binds the symbols to the shapes of `inputs` and `states` and makes what the caller left out: defaults of optional
  /// inputs, empty states. Throws ``ErrorCode/modelInput`` when names, types or shapes do not fit.
  func initialValues(_ inputs: [String: Tensor], states: [String: Tensor]) throws -> [ValueID: Tensor] {
    var symbols: [String: Int] = [:]
    var values: [ValueID: Tensor] = [:]
    for state in self.states {
      guard let tensor = states[state.name] else {
        if case .symbol(let s) = type(of: state.value).dims[state.axis] { symbols[s] = 0 }
        continue
      }
      try bind(type(of: state.value), to: tensor, state.name, &symbols)
      values[state.value] = tensor
    }
    values.merge(try bindInputs(inputs, &symbols)) { $1 }
    for state in self.states where values[state.value] == nil {
      guard let shape = type(of: state.value).bound(symbols).shape else {
        throw BessemerError(.modelInput, "the shape of state \(quoted(state.name)) does not follow from the inputs")
      }
      values[state.value] = try Tensor(type(of: state.value).dtype, shape: shape, bytes: Bytes([]))
    }
    return values
  }

  /// The value of every input, with defaults for what the caller left out, and in `symbols` what the shapes bind.
  /// Throws ``ErrorCode/modelInput`` when names, types or shapes do not fit.
  package func bindInputs(_ inputs: [String: Tensor], _ symbols: inout [String: Int]) throws -> [ValueID: Tensor] {
    if let unknown = inputs.keys.filter({ self.input(named: $0) == nil }).min() {
      let known = self.inputs.map(\.name).joined(separator: ", ")
      throw BessemerError(.modelInput, "no input \(quoted(unknown)); the model takes \(known)")
    }
    var values: [ValueID: Tensor] = [:]
    for input in self.inputs {
      guard let tensor = inputs[input.name] else { continue }
      try bind(type(of: input.value), to: tensor, input.name, &symbols)
      values[input.value] = tensor
    }
    for input in self.inputs {
      let type = type(of: input.value).bound(symbols)
      if let tensor = values[input.value] {
        guard tensor.type == type else {
          throw BessemerError(.modelInput, "input \(quoted(input.name)) is \(tensor.type), expected \(type)")
        }
        continue
      }
      guard let initial = input.initial else {
        throw BessemerError(.modelInput, "input \(quoted(input.name)) is missing")
      }
      guard let shape = type.shape else {
        throw BessemerError(
          .modelInput, "the shape of input \(quoted(input.name)), \(type), does not follow from the others")
      }
      values[input.value] = try initial.tensor(type.dtype, shape: shape, past: symbols["past"] ?? 0)
    }
    return values
  }

  private func bind(_ type: TensorType, to tensor: Tensor, _ name: String, _ symbols: inout [String: Int]) throws {
    guard tensor.dtype == type.dtype, tensor.rank == type.rank else {
      throw BessemerError(.modelInput, "\(quoted(name)) is \(tensor.type), expected \(type)")
    }
    for (dim, n) in zip(type.dims, tensor.shape) {
      switch dim.value(in: symbols) {
      case .some(n): continue
      case .some(let other):
        throw BessemerError(.modelInput, "\(quoted(name)) is \(tensor.type), expected \(type) with \(dim) = \(other)")
      case .none:
        guard let (symbol, factor) = dim.unknown(in: symbols) else { continue }
        guard factor > 0, n % factor == 0 else {
          throw BessemerError(
            .modelInput, "\(quoted(name)) is \(tensor.type), expected \(type): no multiple of \(factor)")
        }
        symbols[symbol] = n / factor
      }
    }
  }
}

extension InputDefault {
  /// The tensor that stands for an input that was not given.
  package func tensor(_ dtype: DType, shape: [Int], past: Int) throws -> Tensor {
    let count = shape.reduce(1, *)
    switch self {
    case .zeros: return try Tensor(dtype, shape: shape, integers: [Int64](repeating: 0, count: count))
    case .ones: return try Tensor(dtype, shape: shape, integers: [Int64](repeating: 1, count: count))
    case .positions:
      let length = max(shape.last ?? 1, 1)
      return try Tensor(dtype, shape: shape, integers: (0..<count).map { Int64(past + $0 % length) })
    }
  }
}
