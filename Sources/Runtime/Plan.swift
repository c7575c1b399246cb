import CKernels
import IR
import Tensors

/// The steps of one run for fixed sizes, with memory. Lengths of states may change from run to run.
final class Plan {
  private var planner: Planner
  private var steps: [Work]
  private let arena: Arena
  private var retained: [HeapMemory] = []
  let memory: MemoryPlan
  /// The block that values lie in; plans that do not run at the same time share it.
  let block: HeapMemory
  private(set) var inputs: [(name: String, value: ValueID, view: View)] = []
  private(set) var outputs: [(name: String, view: View)] = []
  /// States that are replaced as a whole, and what replaces them.
  private(set) var replacements: [(name: String, view: View)] = []

  /// - Parameters:
  ///   - types: every value's type, all sizes known.
  ///   - states: the buffers of the states and how far they are filled.
  ///   - keepsStates: whether the run leaves the states as they are, and what it appends lies elsewhere.
  ///   - block: memory to use if it is large enough.
  init(
    _ model: Model, types: [TensorType], states: [ValueID: StateBuffer], keepsStates: Bool, block: HeapMemory?
  ) throws {
    var planner = Planner(model, types: types, keepsStates: keepsStates)
    (inputs, outputs, replacements) = try planner.layOut(states)
    let memory = MemoryPlan(planner.slots)
    let sufficient = block.flatMap { $0.byteCount >= memory.byteCount ? $0 : nil }
    guard let block = sufficient ?? HeapMemory(checkedByteCount: memory.byteCount) else {
      throw BessemerError(.memory, "cannot allocate \(memory.byteCount) bytes for activations")
    }
    let arena = Arena(base: block.base, offsets: memory.offsets)
    self.planner = planner
    self.memory = memory
    self.block = block
    self.arena = arena
    steps = planner.steps.map { $0.make(arena) }
    retained = states.values.map(\.memory)
  }

  /// Changes the plan to one for other lengths of the states; all else stays as it was. Answers false when that needs a
  /// new plan, and leaves this one unfit to run then.
  ///
  /// - Parameter types: those of the states before the run, in their order.
  func follow(_ symbols: [String: Int], _ states: [ValueID: StateBuffer], _ types: [TensorType]) throws -> Bool {
    let graph = planner.graph
    planner.beginAgain()
    for input in graph.inputs { planner.retype(input.value, graph.type(of: input.value).bound(symbols)) }
    for (state, type) in zip(graph.states, types) {
      if !planner.grow(state, type, states[state.value]!) { planner.retype(state.value, type) }
    }
    (inputs, outputs, replacements) = try planner.layOut(states)
    guard planner.fits else { return false }
    for index in planner.changedSteps { steps[index] = planner.steps[index].make(arena) }
    retained = states.values.map(\.memory)
    return true
  }

  /// How many entries the state has after a run.
  func length(of state: GraphState) -> Int { planner.shape(state.update)[state.axis] }

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
      for (step, plan) in zip(steps, planner.steps) { timing(plan.name, try clock.measure(step)) }
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

extension Planner {
  fileprivate typealias Interface = (
    inputs: [(name: String, value: ValueID, view: View)], outputs: [(name: String, view: View)],
    replacements: [(name: String, view: View)]
  )

  /// Plans the whole graph, or again what changed.
  fileprivate mutating func layOut(_ states: [ValueID: StateBuffer]) throws -> Interface {
    begin(part: 0)
    var inputs: [(String, ValueID, View)] = []
    for input in graph.inputs {
      let view = allocate(dtype(input.value), shape: shape(input.value))
      define(input.value, view)
      inputs.append((input.name, input.value, view))
    }
    for state in graph.states {
      let filled = states[state.value]!.filled
      define(state.value, keepsStates ? try converted(filled, to: dtype(state.value)) : filled)
    }
    end()
    for (k, id) in nodeIDs.enumerated() where isConcerned(k + 1) {
      let node = graph[id]
      begin(part: k + 1)
      let state = keepsStates ? nil : node.results.first.flatMap { model.appendedStates[$0] }
      if state == nil { try retype(node) }
      if node.results.allSatisfy({ model.parameters.isParameter($0) }) {
        // Evaluated when it is read.
      } else if let state, let buffer = states[state.value] {
        try append(view(node.operands[1]), to: state, buffer)
      } else {
        try add(node)
      }
      end()
      guard fits else { return ([], [], []) }
    }
    begin(part: nodeIDs.count + 1)
    func kept(_ value: ValueID, _ planner: inout Planner) throws -> View {
      let view = planner.contiguous(try planner.view(value))
      planner.keepToEnd(view)
      return view
    }
    let outputs = try graph.outputs.map { ($0.name, try kept($0.value, &self)) }
    let replaced = (keepsStates ? [] : graph.states).filter {
      $0.update != $0.value && model.appendedStates[$0.update] == nil
    }
    let replacements = try replaced.map { ($0.name, try kept($0.update, &self)) }
    end()
    return (inputs, outputs, replacements)
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

  /// Whether the state is only appended to, and read by nothing but attention.
  func isCache(_ state: GraphState) -> Bool {
    isAppendedInPlace(state) && users(of: state.value) == [producer(of: state.update)!]
      && !outputs.contains { $0.value == state.update }
      && users(of: state.update).allSatisfy {
        self[$0].op is Attention && self[$0].operands[0] != state.update
          && bk_dtype(type(of: self[$0].operands[0]).dtype) != nil
      }
  }

  /// Whether the executor grows the state in its buffer.
  func isAppendedInPlace(_ state: GraphState) -> Bool {
    guard let id = producer(of: state.update) else { return false }
    return isAppend(self[id], to: state.value)
  }
}
