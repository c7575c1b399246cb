import CKernels
import IR
import Tensors

/// A piece of work of a plan, once addresses are known.
typealias Work = () throws -> Void

/// Where the slots of a plan lie when it runs.
struct Arena {
  let base: UnsafeMutableRawPointer
  let offsets: [Int]

  func pointer(_ view: View) -> UnsafeMutableRawPointer {
    switch view.location {
    case .slot(let index): base + offsets[index] + view.offset * view.elementSize
    case .fixed(let start): start + view.offset * view.elementSize
    }
  }

  func floats(_ view: View) -> UnsafeMutablePointer<Float> { pointer(view).assumingMemoryBound(to: Float.self) }
}

/// Turns the nodes of a graph, with all sizes known, into steps over slots of memory.
///
/// Once done it can be done again for other lengths of the states: only nodes whose operands changed in type or place
/// are planned anew, and must come to as many steps, in slots that are large enough.
struct Planner {
  struct Step {
    let name: String
    let make: (Arena) -> Work
  }

  /// What a part of the plan made: the inputs, a node, or the outputs.
  private struct Trace {
    var steps: Range<Int>
    var slots: Range<Int>
  }

  let graph: Graph
  let model: Model
  let keepsStates: Bool
  private(set) var types: [TensorType]
  private(set) var steps: [Step] = []
  private(set) var slots: [MemoryPlan.Slot] = []
  private var views: [View?]
  private var traces: [Trace] = []
  /// The part of the plan that is being made, and the one that defined each value.
  private var part = 0
  private var definers: [Int]
  /// What comes after the product that was planned last.
  var lastProduct: Succession?
  /// By what updates them, the caches whose growth changes no step.
  private var extents: [ValueID: CacheExtent] = [:]
  /// The nodes in order, and by ``NodeID/ordinal`` the part that each is.
  let nodeIDs: [NodeID]
  private let parts: [Int]
  /// When planning again: the next step and slot of the part, which parts read what changed, which steps are new, and
  /// whether everything found its place so far.
  private var again: (step: Int, slot: Int)?
  private var isConcerned: [Bool] = []
  private(set) var changedSteps: [Int] = []
  private(set) var fits = true

  /// - Parameters:
  ///   - types: every value's type, all sizes known.
  ///   - keepsStates: whether the states stay as they are.
  init(_ model: Model, types: [TensorType], keepsStates: Bool) {
    self.keepsStates = keepsStates
    graph = model.graph
    self.model = model
    self.types = types
    nodeIDs = graph.nodeIDs
    var parts = [Int](repeating: 0, count: graph.madeNodeCount)
    for (index, id) in nodeIDs.enumerated() { parts[id.ordinal] = index + 1 }
    self.parts = parts
    views = [View?](repeating: nil, count: graph.valueCount)
    definers = [Int](repeating: -1, count: graph.valueCount)
  }

  // MARK: Parts

  /// Makes ready to plan again.
  mutating func beginAgain() {
    again = (0, 0)
    isConcerned = [Bool](repeating: false, count: nodeIDs.count + 1)
    changedSteps.removeAll(keepingCapacity: true)
    fits = true
  }

  /// What is planned from now on belongs to this part. Parts come in order.
  mutating func begin(part: Int) {
    self.part = part
    if again == nil {
      traces.append(Trace(steps: steps.count..<steps.count, slots: slots.count..<slots.count))
    } else {
      again = (traces[part].steps.lowerBound, traces[part].slots.lowerBound)
    }
  }

  mutating func end() {
    if let again {
      if again.step != traces[part].steps.upperBound || again.slot != traces[part].slots.upperBound { fits = false }
    } else {
      traces[part] = Trace(
        steps: traces[part].steps.lowerBound..<steps.count, slots: traces[part].slots.lowerBound..<slots.count)
    }
  }

  var isFirstTime: Bool { again == nil }

  /// Whether the part of a node is to be planned: always at first, later when something that it reads changed.
  func isConcerned(_ part: Int) -> Bool { again == nil || isConcerned[part] }

  /// - Parameter isLonger: whether the value only has other sizes and lies where it lay.
  private mutating func concern(readersOf value: ValueID, isLonger: Bool = false) {
    for node in graph.users(of: value) where !(isLonger && masksCache(value, graph[node])) {
      isConcerned[parts[node.ordinal]] = true
    }
  }

  /// Whether the value masks attention that goes by how far a cache is filled, and so reads as much of it.
  private func masksCache(_ value: ValueID, _ node: Node) -> Bool {
    node.operands.count > 3 && node.operands[3] == value && extents[node.operands[1]] != nil
  }

  /// Gives a value another type.
  mutating func retype(_ value: ValueID, _ type: TensorType) {
    guard types[value.ordinal] != type else { return }
    types[value.ordinal] = type
    concern(readersOf: value, isLonger: true)
  }

  /// Lets a cache be longer than in the plan so far. Answers false when it lies elsewhere now, or is planned by length.
  mutating func grow(_ state: GraphState, _ type: TensorType, _ buffer: StateBuffer) -> Bool {
    guard let extent = extents[state.update], extent.memory === buffer.memory else { return false }
    let full = buffer.appending(extent.total - extent.past).full
    types[state.value.ordinal] = type
    types[state.update.ordinal] = TensorType(dtype(state.update), shape: full.shape)
    (views[state.value.ordinal], views[state.update.ordinal]) = (buffer.filled, full)
    (extent.past, extent.total) = (buffer.count, full.shape[buffer.axis])
    return true
  }

  /// Puts what is new behind a state. A cache is filled where it ends at the time.
  mutating func append(_ added: View, to state: GraphState, _ buffer: StateBuffer) throws {
    let count = added.shape[buffer.axis]
    let (full, fresh) = buffer.appending(count)
    retype(state.update, TensorType(dtype(state.update), shape: full.shape))
    let added = try converted(added, to: buffer.dtype)
    if model.caches.contains(state.update) {
      let extent = CacheExtent(buffer, adding: count)
      extents[state.update] = extent
      copy(added, to: buffer.first(count), behind: (extent, full.strides[buffer.axis] * full.elementSize))
    } else {
      copy(added, to: fresh)
    }
    define(state.update, full)
  }

  /// How far a value is filled that is a cache.
  func extent(of value: ValueID) -> CacheExtent? { extents[value] }

  /// Infers the types of a node's results again.
  mutating func retype(_ node: Node) throws {
    guard again != nil else { return }
    for (value, type) in zip(node.results, try graph.types(of: node, operands: node.operands.map { types[$0.ordinal] }))
    { retype(value, type) }
  }

  var pool: OpaquePointer? { model.pool.handle }

  // MARK: Values

  /// The shape of a value in this plan.
  func shape(_ value: ValueID) -> [Int] {
    guard let shape = types[value.ordinal].shape else { preconditionFailure("a size is not known") }
    return shape
  }

  func dtype(_ value: ValueID) -> DType { types[value.ordinal].dtype }

  mutating func define(_ value: ValueID, _ view: View) {
    let old = views[value.ordinal]
    if again != nil, old != view { concern(readersOf: value, isLonger: old?.walks(as: view) ?? false) }
    views[value.ordinal] = view
    definers[value.ordinal] = part
  }

  /// Where a value lies, if it has been defined by now; one that the part itself defines is not known when it is
  /// planned again.
  func known(_ value: ValueID) -> View? {
    again != nil && definers[value.ordinal] >= part ? nil : views[value.ordinal]
  }

  /// Where a value lies; a parameter is evaluated in its own type.
  mutating func view(_ value: ValueID) throws -> View {
    if let view = views[value.ordinal] { return view }
    let tensor = try model.parameters.tensor(value)
    let view = fixed(tensor)
    views[value.ordinal] = view
    return view
  }

  /// The view of a tensor that lives as long as the model.
  func fixed(_ tensor: Tensor) -> View {
    let base = tensor.bytes.withUnsafeBytes { UnsafeMutableRawPointer(mutating: $0.baseAddress) }
    // An empty tensor may have no address; nothing is read from it.
    return View(.fixed(base ?? UnsafeMutableRawPointer(bitPattern: 64)!), tensor.dtype, shape: tensor.shape)
  }

  /// A value as float32, converted if it is stored otherwise. A parameter is converted once for all runs.
  mutating func floatView(_ value: ValueID) throws -> View {
    if views[value.ordinal] == nil, model.parameters.isParameter(value) {
      return fixed(try model.parameters.vector(value))
    }
    return try converted(try view(value), to: .float32)
  }

  /// The same elements in another type, as they are if they have it.
  mutating func converted(_ view: View, to dtype: DType) throws -> View {
    guard view.dtype != dtype else { return view }
    guard let from = bk_dtype(view.dtype), let to = bk_dtype(dtype) else {
      throw unsupported("\(view.dtype == .float32 ? dtype : view.dtype) activations")
    }
    let source = contiguous(view)
    let result = allocate(dtype, shape: source.shape)
    let (pool, count) = (pool, source.elementCount)
    addStep("convert", reads: [source], writes: [result]) { arena in
      let (input, output) = (arena.pointer(source), arena.pointer(result))
      return { bk_convert(pool, to, output, from, input, count) }
    }
    return result
  }

  /// A view with row-major elements, copied if need be.
  mutating func contiguous(_ view: View) -> View {
    if view.isContiguous { return view }
    let result = allocate(view.dtype, shape: view.shape)
    copy(view, to: result)
    return result
  }

  /// A view whose last dimension is dense and whose leading dimensions have one stride.
  mutating func inRows(_ view: View) -> View { view.rows == nil ? contiguous(view) : view }

  // MARK: Memory

  /// A new slot, alive from now on until its last use.
  mutating func allocate(_ dtype: DType, shape: [Int]) -> View {
    let bytes = (max(shape.reduce(1, *) * dtype.bits / 8, 1) + 1023) / 1024 * 1024
    guard let next = again else {
      slots.append(MemoryPlan.Slot(byteCount: bytes, first: steps.count, last: steps.count))
      return View(.slot(slots.count - 1), dtype, shape: shape)
    }
    if !traces[part].slots.contains(next.slot) || bytes > slots[next.slot].byteCount { fits = false }
    again?.slot += 1
    return View(.slot(next.slot), dtype, shape: shape)
  }

  /// Memory for the only result of a node, as float32; ``finish(_:_:)`` gives it its type.
  mutating func allocateFloat(_ value: ValueID) -> View { allocate(.float32, shape: shape(value)) }

  /// Memory for float32 elements of this shape that lie in the given order of dimensions, outermost first.
  mutating func allocateFloat(_ shape: [Int], order: [Int]) -> View {
    let memory = allocate(.float32, shape: order.map { shape[$0] })
    return memory.transposed(shape.indices.map { order.firstIndex(of: $0)! })
  }

  /// Defines a result that was computed in float32, converted to its type if that is another.
  mutating func finish(_ value: ValueID, _ view: View) throws {
    define(value, try converted(view, to: dtype(value)))
  }

  // MARK: Steps

  /// Appends a step. Slots in `reads` and `writes` stay alive up to it.
  mutating func addStep(_ name: String, reads: [View], writes: [View], _ make: @escaping (Arena) -> Work) {
    let place = again?.step ?? steps.count
    for view in reads { keep(view, until: place) }
    for view in writes { keep(view, until: place) }
    let step = Step(name: name, make: make)
    guard again != nil else { return steps.append(step) }
    again?.step += 1
    guard traces[part].steps.contains(place) else { return fits = false }
    steps[place] = step
    changedSteps.append(place)
  }

  /// Keeps a slot alive to the end of the run.
  mutating func keepToEnd(_ view: View) { keep(view, until: Int.max) }

  private mutating func keep(_ view: View, until step: Int) {
    guard case .slot(let index) = view.location else { return }
    if again == nil {
      slots[index].last = max(slots[index].last, step)
    } else if !slots.indices.contains(index) || slots[index].last < step {
      fits = false
    }
  }

  /// Copies elements from one window to another of the same shape, or to where that is behind the entries of a cache,
  /// each of so many bytes.
  mutating func copy(_ source: View, to target: View, behind cache: (extent: CacheExtent, stride: Int)? = nil) {
    guard source.elementCount > 0 else { return }
    let (shape, from, to) = View.merged(source, target)
    let (pool, size) = (pool, source.elementSize)
    // What the kernel does not take at once: the leading dimensions beyond its rank.
    let lead = max(shape.count - Int(BK_MAX_RANK), 0)
    let starts = zip(
      offsets(Array(shape[..<lead]), strides: Array(from[..<lead])),
      offsets(Array(shape[..<lead]), strides: Array(to[..<lead])))
    let blocks = starts.map { (input: $0 * size, output: $1 * size) }
    let (inner, innerFrom, innerTo) = (Array(shape[lead...]), Array(from[lead...]), Array(to[lead...]))
    addStep("copy", reads: [source], writes: [target]) { arena in
      let (input, output) = (arena.pointer(source), arena.pointer(target))
      return {
        let output = output + (cache.map { $0.extent.past * $0.stride } ?? 0)
        for block in blocks {
          try check(
            bk_copy(
              pool, Int32(size), Int32(inner.count), inner, output + block.output, innerTo, input + block.input,
              innerFrom))
        }
      }
    }
  }

  func unsupported(_ what: String) -> BessemerError { BessemerError(.unsupportedFeature, "\(what) do not run") }
}

extension View {
  /// The common shape of two views with neighbouring dimensions joined where both allow, and the strides of each:
  /// what a kernel of at most eight dimensions takes.
  static func merged(_ a: View, _ b: View) -> (shape: [Int], a: [Int], b: [Int]) {
    var shape: [Int] = []
    var (sa, sb): ([Int], [Int]) = ([], [])
    for k in a.shape.indices where a.shape[k] != 1 {
      if let last = shape.last, sa[shape.count - 1] == a.strides[k] * a.shape[k],
        sb[shape.count - 1] == b.strides[k] * a.shape[k]
      {
        shape[shape.count - 1] = last * a.shape[k]
        sa[shape.count - 1] = a.strides[k]
        sb[shape.count - 1] = b.strides[k]
      } else {
        shape.append(a.shape[k])
        sa.append(a.strides[k])
        sb.append(b.strides[k])
      }
    }
    return (shape, sa, sb)
  }
}
