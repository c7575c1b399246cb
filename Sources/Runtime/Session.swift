import IR
public import Tensors

/// A model being run: its states, such as a key-value cache, live here between runs. Not for use from several threads
/// at once.
public final class Session {
  public let model: Model
  private var buffers: [ValueID: StateBuffer] = [:]
  /// By the sizes that are not lengths of states.
  private var plans: [(key: [String: Int], plan: Plan)] = []
  /// The dimensions that are lengths of states.
  private let lengths: Set<String>
  /// The symbols of the states' types, sums such as `past+sequence` among them.
  private let stateSizes: Set<Dim>
  /// What values lie in while a plan runs.
  private var block: HeapMemory?
  private var capacity: Int
  /// Whether runs leave the states as they are.
  private let keepsStates: Bool
  /// How many entries along the growing axis the states have.
  public private(set) var past = 0
  /// The largest amount of memory that activations and states took at once, in bytes.
  public private(set) var peakByteCount = 0
  /// Called after each step of a run with its name and time.
  public var timing: ((String, Duration) -> Void)?

  /// Plans kept for sizes that come again.
  private static let maximumPlans = 4

  /// - Parameter capacity: entries that the states can take before they must grow.
  public init(_ model: Model, capacity: Int = 0) {
    self.model = model
    self.capacity = capacity
    keepsStates = false
    lengths = Session.lengths(of: model.graph)
    stateSizes = Set(
      model.graph.states.flatMap { model.graph.type(of: $0.value).dims + model.graph.type(of: $0.update).dims }
        .filter { $0.value == nil })
  }

  /// A session that looks at the states that `other` has now and leaves them as they are: every run goes on from there
  /// anew. Nothing is copied, so `other` must not run meanwhile.
  public init(reading other: Session) {
    model = other.model
    capacity = other.capacity
    (buffers, past) = (other.buffers, other.past)
    keepsStates = true
    (lengths, stateSizes) = (other.lengths, other.stateSizes)
  }

  private static func lengths(of graph: Graph) -> Set<String> {
    Set(
      graph.states.compactMap { state in
        guard case .symbol(let name) = graph.type(of: state.value).dims[state.axis] else { return nil }
        return name
      })
  }

  /// Makes states that are stored from now on large enough for `count` entries, as far as the model allows.
  public func reserve(_ count: Int) { capacity = max(capacity, count) }

  /// Forgets what the states hold.
  public func reset() {
    past = 0
    for key in buffers.keys { buffers[key]!.count = 0 }
  }

  /// Runs the graph once and updates the states. Inputs that are left out get their defaults.
  ///
  /// - Parameter outputs: the names of the outputs to return; nil for all.
  /// - Throws: ``ErrorCode/modelInput`` when inputs do not fit the model or one another.
  public func run(_ inputs: [String: Tensor], outputs: Set<String>? = nil) throws -> [String: Tensor] {
    let graph = model.graph
    var symbols: [String: Int] = [:]
    for state in graph.states {
      guard case .symbol(let name) = graph.type(of: state.value).dims[state.axis] else { continue }
      let count = buffers[state.value]?.count ?? 0
      guard symbols.updateValue(count, forKey: name) ?? count == count else {
        throw BessemerError(.graph, "states that share the dimension \(name) have different lengths")
      }
    }
    let values = try graph.bindInputs(inputs, &symbols)
    let plan = try plan(for: symbols)
    let results = try plan.run(values, only: outputs, timing: timing)
    if keepsStates { return results }
    for state in graph.states {
      if model.appendedStates[state.update] != nil {
        buffers[state.value]!.count = plan.length(of: state)
      } else if let view = plan.replacements.first(where: { $0.name == state.name })?.view {
        try replace(state, with: plan.tensor(view))
      }
    }
    past = graph.states.first.flatMap { buffers[$0.value]?.count } ?? 0
    return results
  }

  /// The plan for these sizes: one that ran before and follows the lengths of the states, or a new one.
  private func plan(for symbols: [String: Int]) throws -> Plan {
    let graph = model.graph
    let key = symbols.filter { !lengths.contains($0.key) }
    let index = plans.firstIndex { $0.key == key }
    if let index {
      if graph.states.isEmpty { return plans[index].plan }
      // It comes back once it has followed.
      let plan = plans.remove(at: index).plan
      // Each size is computed once, not for every state.
      let sizes = stateSizes.reduce(into: symbols) { $0[$1.description] = $1.value(in: symbols) }
      let states = graph.states.map {
        ($0, graph.type(of: $0.value).bound(sizes), graph.type(of: $0.update).bound(sizes))
      }
      // A length that only inference knows needs a new plan.
      let isKnown = states.allSatisfy { $0.1.shape != nil && $0.2.shape != nil }
      if isKnown { for (state, type, update) in states { try reserve(state, type, update) } }
      if try isKnown && plan.follow(sizes, buffers, states.map(\.1)) {
        plans.append((key, plan))
        return plan
      }
    }
    let types = try graph.types(binding: symbols)
    for state in graph.states { try reserve(state, types[state.value.ordinal], types[state.update.ordinal]) }
    let plan = try Plan(model, types: types, states: buffers, keepsStates: keepsStates, block: block)
    block = plan.block
    plans.append((key, plan))
    if plans.count > Session.maximumPlans { plans.removeFirst() }
    peakByteCount = max(peakByteCount, plan.block.byteCount + buffers.values.reduce(0) { $0 + $1.memory.byteCount })
    return plan
  }

  /// Makes a state's buffer large enough for what a run leaves in it.
  private func reserve(_ state: GraphState, _ type: TensorType, _ update: TensorType) throws {
    guard let shape = type.shape, let needed = (keepsStates ? type : update).shape?[state.axis] else {
      preconditionFailure("a state's size is not known")
    }
    guard needed <= state.capacity else {
      throw BessemerError(.modelInput, "\(needed) positions are more than the model's \(state.capacity)")
    }
    let old = buffers[state.value]
    guard shape[state.axis] == old?.count ?? 0 else {
      throw BessemerError(.graph, "state \(quoted(state.name)) does not begin empty: it is \(type)")
    }
    if let old, old.shape.indices.allSatisfy({ $0 == state.axis || old.shape[$0] == shape[$0] }) {
      guard old.capacity < needed else { return }
      buffers[state.value] = try old.resized(capacity: min(max(needed, 2 * old.capacity), state.capacity))
      return
    }
    guard old?.count ?? 0 == 0 else {
      throw BessemerError(.modelInput, "the batch size changed between runs that share a cache")
    }
    let room = min(max(needed, capacity), state.capacity)
    // Frameworks that compute in bfloat16 keep keys and values in it too.
    let isNarrow = model.options.compute == .bfloat16 && type.dtype == .float32 && model.graph.isCache(state)
    buffers[state.value] = try StateBuffer(
      isNarrow ? .bfloat16 : type.dtype, shape: shape, axis: state.axis, capacity: max(room, 1))
  }

  /// A state that is not appended to is stored anew.
  private func replace(_ state: GraphState, with tensor: Tensor) throws {
    let count = tensor.shape[state.axis]
    var buffer = try StateBuffer(tensor.dtype, shape: tensor.shape, axis: state.axis, capacity: max(count, 1))
    buffer.count = count
    tensor.bytes.withUnsafeBytes {
      if $0.count > 0 { buffer.memory.base.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
    }
    buffers[state.value] = buffer
  }
}
