public import Tensors

extension Graph {
  /// Checks every rule that rewriting could break: order, uses, single assignment, types. Throws ``ErrorCode/graph``.
  ///
  /// - Parameter made: infer types only of nodes made since ``madeNodeCount`` was this. Those of earlier nodes stay
  ///   right, as only values of one type take each other's place.
  public func verify(madeSince made: Int = 0) throws {
    var defined = [Bool](repeating: false, count: valueCount)
    for input in inputs { defined[input.value.ordinal] = true }
    for state in states { defined[state.value.ordinal] = true }
    var useCounts = [Int](repeating: 0, count: valueCount)
    for id in nodeIDs {
      let node = self[id]
      for operand in node.operands {
        guard defined[operand.ordinal] else { throw broken(node, "reads a value that is computed after it, or never") }
        useCounts[operand.ordinal] += 1
      }
      if Int(id.index) >= made { try verifyTypes(node) }
      for result in node.results {
        guard !defined[result.ordinal], producer(of: result) == id else { throw broken(node, "defines a value twice") }
        defined[result.ordinal] = true
      }
    }
    var rootCounts = [Int32](repeating: 0, count: valueCount)
    for root in outputs.map(\.value) + states.map(\.update) {
      guard defined[root.ordinal] else {
        throw BessemerError(.graph, "an output or state is a value that is never computed")
      }
      rootCounts[root.ordinal] += 1
    }
    for (k, value) in values.enumerated() where defined[k] {
      guard value.users.count == useCounts[k], value.rootCount == rootCounts[k] else {
        throw BessemerError(.graph, "the uses of value \(k) are not what its users say")
      }
    }
    for state in states {
      let (old, new) = (type(of: state.value), type(of: state.update))
      guard old.dtype == new.dtype, old.rank == new.rank, state.axis < old.rank,
        old.dims.indices.allSatisfy({ $0 == state.axis || old.dims[$0] == new.dims[$0] })
      else { throw BessemerError(.graph, "state \(quoted(state.name)) changes from \(old) to \(new)") }
    }
  }

  private func verifyTypes(_ node: Node) throws {
    let types = try types(of: node, operands: node.operands.map { type(of: $0) })
    guard types == node.results.map({ type(of: $0) }) else {
      throw broken(node, "has other result types than inferred")
    }
  }

  /// The type of every value once the symbols of inputs and states are bound, by ``ValueID/ordinal``.
  /// Throws ``ErrorCode/modelInput`` when an input's type keeps a symbol, ``ErrorCode/graph`` when inference fails.
  public func types(binding symbols: [String: Int]) throws -> [TensorType] {
    var types = values.map(\.type)
    for (name, value) in inputs.map({ ($0.name, $0.value) }) + states.map({ ($0.name, $0.value) }) {
      types[value.ordinal] = type(of: value).bound(symbols)
      guard types[value.ordinal].shape != nil else {
        throw BessemerError(.modelInput, "\(quoted(name)): \(type(of: value)) has an unknown dimension")
      }
    }
    for id in nodeIDs {
      let node = self[id]
      for (result, type) in zip(
        node.results, try self.types(of: node, operands: node.operands.map { types[$0.ordinal] }))
      { types[result.ordinal] = type }
    }
    return types
  }

  /// The types of a node's results for these types of its operands. Throws ``ErrorCode/graph``.
  package func types(of node: Node, operands: [TensorType]) throws -> [TensorType] {
    do { return try Graph.infer(node.op, operands) } catch { throw broken(node, "\(error)") }
  }

  private func broken(_ node: Node, _ problem: String) -> BessemerError {
    let name = node.name.isEmpty ? "" : " " + quoted(node.name)
    return BessemerError(.graph, "\(Swift.type(of: node.op).schema.name)\(name): \(problem)")
  }
}
