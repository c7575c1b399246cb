import CKernels
import IR
import Tensors

/// The steps of one run for fixed sizes, with memory.
final class Plan {
  let memory: MemoryPlan
  let slots: [MemoryPlan.Slot]
  let inputs: [(name: String, value: ValueID, view: View)]
  let outputs: [(name: String, view: View)]
  /// States that are replaced as a whole, and what replaces them.
  let replacements: [(name: String, view: View)]
  /// How many entries each state has after a run.
  let lengths: [ValueID: Int]
  let stepNames: [String]
  private let steps: [Work]
  let arena: Arena
  private let block: HeapMemory
  private let model: Model
  private let retained: [HeapMemory]

  /// - Parameters:
  ///   - types: every value's type, all sizes known.
  ///   - states: the buffers of the states and how far they are filled.
  ///   - keepsStates: whether the run leaves the states as they are, and what it appends lies elsewhere.
  ///   - previous: a plan whose memory layout and block are taken over when they fit.
  init(_ model: Model, types: [TensorType], states: [ValueID: StateBuffer], keepsStates: Bool, previous: Plan?) throws {
    self.model = model
    let graph = model.graph
    var planner = Planner(model, types: types)
    var inputs: [(String, ValueID, View)] = []
    for input in graph.inputs {
      let view = planner.allocate(planner.dtype(input.value), shape: planner.shape(input.value))
      planner.define(input.value, view)
      inputs.append((input.name, input.value, view))
    }
    for state in graph.states { planner.define(state.value, states[state.value]!.filled) }
    let updated = keepsStates ? [] : graph.states
    let appends = Dictionary(
      uniqueKeysWithValues: updated.filter(graph.isAppendedInPlace).map { ($0.update, $0.value) })
    for id in graph.nodeIDs {
      let node = graph[id]
      if node.results.allSatisfy({ planner.model.parameters.isParameter($0) }) { continue }
      if let state = appends[node.results[0]], let buffer = states[state] {
        let (full, fresh) = buffer.appending(planner.shape(node.operands[1])[buffer.axis])
        planner.copy(try planner.view(node.operands[1]), to: fresh)
        planner.define(node.results[0], full)
        continue
      }
      try planner.add(node)
    }
    var outputs: [(String, View)] = []
    for output in graph.outputs {
      let view = planner.contiguous(try planner.view(output.value))
      planner.keepToEnd(view)
      outputs.append((output.name, view))
    }
    var replacements: [(String, View)] = []
    for state in updated where state.update != state.value && !graph.isAppendedInPlace(state) {
      let view = planner.contiguous(try planner.view(state.update))
      planner.keepToEnd(view)
      replacements.append((state.name, view))
    }
    lengths = Dictionary(uniqueKeysWithValues: graph.states.map { ($0.value, planner.shape($0.update)[$0.axis]) })
    self.inputs = inputs
    self.outputs = outputs
    self.replacements = replacements
    self.slots = planner.slots
    if let previous, previous.fits(planner.slots) {
      memory = previous.memory
      block = previous.block
    } else {
      memory = MemoryPlan(planner.slots)
      guard let block = HeapMemory(checkedByteCount: memory.byteCount) else {
        throw BessemerError(.memory, "cannot allocate \(memory.byteCount) bytes for activations")
      }
      self.block = block
    }
    retained = states.values.map(\.memory)
    arena = Arena(base: block.base, offsets: memory.offsets)
    let arena = arena
    stepNames = planner.steps.map(\.name)
    steps = planner.steps.map { $0.make(arena) }
  }

  /// Whether slots can lie where this plan's do: as many, alive at the same steps, none larger.
  private func fits(_ other: [MemoryPlan.Slot]) -> Bool {
    other.count == slots.count
      && zip(other, slots).allSatisfy { $0.byteCount <= $1.byteCount && $0.first == $1.first && $0.last == $1.last }
  }

  /// Runs the steps on these inputs; the outputs are copies.
  func run(_ values: [ValueID: Tensor], only wanted: Set<String>?, timing: ((String, Duration) -> Void)?) throws
    -> [String: Tensor]
  {
    for (_, value, view) in inputs {
      values[value]!.bytes.withUnsafeBytes {
        if $0.count > 0 { arena.pointer(view).copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
      }
    }
    if let timing {
      let clock = ContinuousClock()
      for (step, name) in zip(steps, stepNames) { timing(name, try clock.measure(step)) }
    } else {
      for (k, step) in steps.enumerated() {
        if k % 64 == 0 { try Interrupt.check() }
        try step()
      }
    }
    var results: [String: Tensor] = [:]
    for (name, view) in outputs where wanted?.contains(name) ?? true { results[name] = try tensor(view) }
    return results
  }

  func tensor(_ view: View) throws -> Tensor {
    let source = UnsafeRawBufferPointer(start: arena.pointer(view), count: view.byteCount)
    return try Tensor(
      view.dtype, shape: view.shape, bytes: Bytes(byteCount: view.byteCount) { $0.copyMemory(from: source) })
  }
}

extension Graph {
  /// Whether the node only puts something behind a state.
  func isAppend(_ node: Node, to state: ValueID) -> Bool {
    guard let concat = node.op as? Concat, node.operands.count == 2, node.operands[0] == state,
      node.operands[1] != state,
      let info = states.first(where: { $0.value == state })
    else { return false }
    let rank = type(of: state).rank
    return (concat.axis < 0 ? concat.axis + rank : concat.axis) == info.axis
  }

  /// Whether the executor grows the state in its buffer.
  func isAppendedInPlace(_ state: GraphState) -> Bool {
    guard let id = producer(of: state.update) else { return false }
    return isAppend(self[id], to: state.value)
  }
}
