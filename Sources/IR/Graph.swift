public import Tensors

/// Identifies a node of one graph.
public struct NodeID: Hashable, Sendable, Comparable {
  let index: Int32
  public static func < (a: NodeID, b: NodeID) -> Bool { a.index < b.index }
  /// A dense number, for tables indexed by node.
  public var ordinal: Int { Int(index) }
}

/// Identifies a value of one graph: an input, a state or a result of a node.
public struct ValueID: Hashable, Sendable, Comparable {
  let index: Int32
  public static func < (a: ValueID, b: ValueID) -> Bool { a.index < b.index }
  /// A dense number, for tables indexed by value.
  public var ordinal: Int { Int(index) }
}

/// An operator applied to values.
public struct Node: Sendable {
  /// What never changes, shared by all copies: graphs copy nodes more than anything else.
  private final class Fixed: Sendable {
    let op: any Op
    let results: [ValueID]
    let name: String

    init(_ op: any Op, _ results: [ValueID], _ name: String) {
      self.op = op
      self.results = results
      self.name = name
    }
  }

  private let fixed: Fixed
  public internal(set) var operands: [ValueID]

  init(_ op: any Op, _ operands: [ValueID], results: [ValueID], name: String) {
    fixed = Fixed(op, results, name)
    self.operands = operands
  }

  public var op: any Op { fixed.op }
  public var results: [ValueID] { fixed.results }
  /// Where the node comes from, `layers.0.attention`; for people only.
  public var name: String { fixed.name }
}

/// What an input is when the caller gives none.
public enum InputDefault: String, Sendable, Codable, CaseIterable {
  case zeros
  case ones
  /// `past, past + 1, …` along the last dimension.
  case positions
}

/// An input of a graph.
public struct GraphInput: Sendable {
  public let name: String
  public let value: ValueID
  /// Nil for an input that the caller must give.
  public let initial: InputDefault?
}

/// A value that outlives a run, such as a key cache: empty along `axis` at first, and after each run what `update` was.
public struct GraphState: Sendable {
  public let name: String
  public let value: ValueID
  /// The dimension that grows.
  public let axis: Int
  /// The most that the dimension may grow to.
  public let capacity: Int
  /// The value that the state has after a run; itself when nothing changes it.
  public internal(set) var update: ValueID
}

/// A named result of a graph.
public struct GraphOutput: Sendable {
  public let name: String
  public internal(set) var value: ValueID
}

/// A computation as a value: nodes in static single assignment form, addressed by typed ids.
///
/// Copies are cheap and independent. Operators know their types; the graph keeps producers, users and order.
/// Rewrites append nodes anywhere; ``sortTopologically()`` restores the order that running and printing need.
public struct Graph: Sendable {
  struct Value: Sendable {
    var type: TensorType
    var producer: NodeID?
    var users: [NodeID] = []
    /// How many outputs and state updates are this value.
    var rootCount: Int32 = 0
  }

  public var name: String
  var nodes: [Node?] = []
  /// The type of each node's operator, nil when it was erased: what most walks look at alone.
  private var kinds: [ObjectIdentifier?] = []
  var values: [Value] = []
  var order: [NodeID] = []
  /// How many nodes are not erased.
  public private(set) var nodeCount = 0
  public private(set) var inputs: [GraphInput] = []
  public private(set) var states: [GraphState] = []
  public private(set) var outputs: [GraphOutput] = []

  public init(name: String) { self.name = name }

  // MARK: Reading

  public subscript(id: NodeID) -> Node {
    guard let node = nodes[Int(id.index)] else { preconditionFailure("the node was erased") }
    return node
  }

  /// The node, or nil when it was erased.
  public func node(_ id: NodeID) -> Node? { nodes[Int(id.index)] }

  /// Nodes in an order in which they can run, once ``sortTopologically()`` was called after the last rewrite.
  public var nodeIDs: [NodeID] { nodeCount == order.count ? order : order.filter { kinds[Int($0.index)] != nil } }

  /// The type of a node's operator, as `ObjectIdentifier(Add.self)`; nil when the node was erased.
  public func kind(of id: NodeID) -> ObjectIdentifier? { kinds[Int(id.index)] }

  /// How many nodes were ever made, erased ones included.
  public var madeNodeCount: Int { nodes.count }

  /// One more than the greatest ``ValueID/ordinal``.
  public var valueCount: Int { values.count }

  public func type(of value: ValueID) -> TensorType { values[Int(value.index)].type }

  /// The nodes that read a value, one entry per operand.
  public func users(of value: ValueID) -> [NodeID] { values[Int(value.index)].users }

  /// Whether the value leaves the graph as an output or a state.
  public func isRoot(_ value: ValueID) -> Bool { values[Int(value.index)].rootCount > 0 }

  /// Whether exactly one operand reads the value and nothing else does.
  public func hasOneUse(_ value: ValueID) -> Bool {
    let info = values[Int(value.index)]
    return info.users.count == 1 && info.rootCount == 0
  }

  /// The node that computes a value; nil for inputs and states.
  public func producer(of value: ValueID) -> NodeID? { values[Int(value.index)].producer }

  /// The node that computes a value, if its operator is an `O`.
  public func producer<O: Op>(of value: ValueID, as _: O.Type) -> (node: Node, op: O)? {
    guard let id = producer(of: value), kind(of: id) == ObjectIdentifier(O.self) else { return nil }
    let node = self[id]
    return (node.op as? O).map { (node, $0) }
  }

  public func input(named name: String) -> GraphInput? { inputs.first { $0.name == name } }

  // MARK: Building

  @discardableResult
  public mutating func addInput(_ name: String, _ type: TensorType, initial: InputDefault? = nil) -> ValueID {
    let value = addValue(type, nil)
    inputs.append(GraphInput(name: name, value: value, initial: initial))
    return value
  }

  /// Adds a state; ``setUpdate(_:of:)`` says what it becomes.
  public mutating func addState(_ name: String, _ type: TensorType, axis: Int, capacity: Int) -> ValueID {
    let value = addValue(type, nil)
    states.append(GraphState(name: name, value: value, axis: axis, capacity: capacity, update: value))
    values[Int(value.index)].rootCount += 1
    return value
  }

  public mutating func setUpdate(_ update: ValueID, of state: ValueID) {
    guard let index = states.firstIndex(where: { $0.value == state }) else { preconditionFailure("not a state") }
    values[Int(states[index].update.index)].rootCount -= 1
    states[index].update = update
    values[Int(update.index)].rootCount += 1
  }

  public mutating func addOutput(_ name: String, _ value: ValueID) {
    outputs.append(GraphOutput(name: name, value: value))
    values[Int(value.index)].rootCount += 1
  }

  /// Makes an output another value, of any type.
  public mutating func setOutput(_ name: String, to value: ValueID) {
    guard let index = outputs.firstIndex(where: { $0.name == name }) else { preconditionFailure("no such output") }
    values[Int(outputs[index].value.index)].rootCount -= 1
    outputs[index].value = value
    values[Int(value.index)].rootCount += 1
  }

  /// Appends a node. Throws when the operator does not accept the operands.
  @discardableResult
  public mutating func add(_ op: any Op, _ operands: [ValueID] = [], name: String = "") throws(OpError) -> [ValueID] {
    let types = try Graph.infer(op, operands.map { type(of: $0) })
    return append(op, operands, types, name: name)
  }

  /// The result types of an operator, after checking the number of operands.
  static func infer(_ op: any Op, _ operands: [TensorType]) throws(OpError) -> [TensorType] {
    let schema = Swift.type(of: op).schema
    guard schema.accepts(operandCount: operands.count) else {
      throw OpError(
        "\(schema.name)_operands", "\(operands.count) operands, expected \(schema.operands.joined(separator: ", "))")
    }
    let results = try op.infer(operands)
    for result in results {
      try require(result.isWithinLimits, "\(schema.name)_limit", "\(result) is too large")
    }
    return results
  }

  /// Appends a node whose result types are already known to be right.
  mutating func append(_ op: any Op, _ operands: [ValueID], _ types: [TensorType], name: String) -> [ValueID] {
    let id = NodeID(index: Int32(nodes.count))
    let results = types.map { addValue($0, id) }
    nodes.append(Node(op, operands, results: results, name: name))
    kinds.append(ObjectIdentifier(Swift.type(of: op)))
    order.append(id)
    nodeCount += 1
    for operand in operands { values[Int(operand.index)].users.append(id) }
    return results
  }

  private mutating func addValue(_ type: TensorType, _ producer: NodeID?) -> ValueID {
    values.append(Value(type: type, producer: producer))
    return ValueID(index: Int32(values.count - 1))
  }

  // MARK: Rewriting

  /// Makes everything that reads `old` read `new`; the types must be the same.
  public mutating func replaceUses(of old: ValueID, with new: ValueID) {
    precondition(type(of: old) == type(of: new), "\(type(of: old)) replaced by \(type(of: new))")
    guard old != new else { return }
    let users = values[Int(old.index)].users
    for user in Set(users) {
      for k in nodes[Int(user.index)]!.operands.indices where nodes[Int(user.index)]!.operands[k] == old {
        nodes[Int(user.index)]!.operands[k] = new
      }
    }
    values[Int(new.index)].users += users
    values[Int(old.index)].users = []
    guard values[Int(old.index)].rootCount > 0 else { return }
    values[Int(new.index)].rootCount += values[Int(old.index)].rootCount
    values[Int(old.index)].rootCount = 0
    for k in outputs.indices where outputs[k].value == old { outputs[k].value = new }
    for k in states.indices where states[k].update == old { states[k].update = new }
  }

  /// Removes a node that nothing reads.
  public mutating func erase(_ id: NodeID) {
    let node = self[id]
    for operand in node.operands { values[Int(operand.index)].users.removeOne(id) }
    nodes[Int(id.index)] = nil
    kinds[Int(id.index)] = nil
    nodeCount -= 1
  }

  /// Replaces all results of a node by those of a new one. False, and no change, when the operator rejects the operands
  /// or its result types differ.
  @discardableResult
  public mutating func replace(_ id: NodeID, with op: any Op, _ operands: [ValueID]) -> Bool {
    let old = self[id]
    guard let types = try? Graph.infer(op, operands.map { type(of: $0) }), types == old.results.map({ type(of: $0) })
    else { return false }
    let new = append(op, operands, types, name: old.name)
    for (a, b) in zip(old.results, new) { replaceUses(of: a, with: b) }
    erase(id)
    return true
  }

  /// Erases nodes that no output or state depends on; true when there were any.
  @discardableResult
  public mutating func eraseDeadNodes() -> Bool {
    var pending: [NodeID] = []
    for index in values.indices where values[index].rootCount == 0 && values[index].users.isEmpty {
      if let id = values[index].producer, kind(of: id) != nil { pending.append(id) }
    }
    var changed = false
    while let id = pending.popLast() {
      guard let node = nodes[Int(id.index)],
        node.results.allSatisfy({ values[Int($0.index)].users.isEmpty && !isRoot($0) })
      else { continue }
      erase(id)
      changed = true
      pending += node.operands.compactMap { producer(of: $0) }
    }
    return changed
  }

  /// Orders nodes so that each follows what it reads, otherwise as they were; forgets erased ones. False on a cycle.
  @discardableResult
  public mutating func sortTopologically() -> Bool {
    var sorted: [NodeID] = []
    sorted.reserveCapacity(order.count)
    // 0 new, 1 on the stack, 2 placed
    var mark = [UInt8](repeating: 0, count: nodes.count)
    var stack: [(id: NodeID, next: Int)] = []
    for root in order where kinds[Int(root.index)] != nil && mark[Int(root.index)] == 0 {
      stack.append((root, 0))
      mark[Int(root.index)] = 1
      while let (id, next) = stack.last {
        let operands = nodes[Int(id.index)]!.operands
        if next == operands.count {
          mark[Int(id.index)] = 2
          sorted.append(id)
          stack.removeLast()
          continue
        }
        stack[stack.count - 1].next += 1
        guard let source = producer(of: operands[next]) else { continue }
        switch mark[Int(source.index)] {
        case 0:
          mark[Int(source.index)] = 1
          stack.append((source, 0))
        case 1: return false
        default: break
        }
      }
    }
    order = sorted
    return true
  }
}

extension Array where Element == NodeID {
  /// Removes one occurrence, looking from both ends: most often the oldest or the newest reader goes.
  fileprivate mutating func removeOne(_ id: NodeID) {
    for k in 0..<(count + 1) / 2 {
      if self[k] == id {
        remove(at: k)
        return
      }
      if self[count - 1 - k] == id {
        remove(at: count - 1 - k)
        return
      }
    }
  }
}
