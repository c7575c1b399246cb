internal import Synchronization
public import Tensors

/// Evaluates parameters: values that are computed from weights and constants alone.
///
/// Casts, transpositions, slices, concatenations and changes of shape are carried out on the elements that are asked
/// for, straight from the weights' mappings. Any other operator is evaluated as a whole by its plain meaning, and its
/// result kept until ``forget()``. Safe to use from several threads.
public final class ParameterReader: Sendable {
  private let graph: Graph
  private let weights: TensorStore
  /// By ``ValueID/ordinal``; nil for what depends on inputs.
  private let plans: [ParameterPlan?]
  private let loaded = Mutex<[ValueID: Tensor]>([:])

  /// Elements of a result that is evaluated as a whole.
  public static let maximumEvaluatedElementCount = 1 << 28
  /// The graph must be sorted, see ``Graph/sortTopologically()``.
  public init(_ graph: Graph, weights: TensorStore) {
    self.graph = graph
    self.weights = weights
    var plans = [ParameterPlan?](repeating: nil, count: graph.valueCount)
    for id in graph.nodeIDs {
      let node = graph[id]
      let operands = node.operands.compactMap { plans[$0.ordinal] }
      guard operands.count == node.operands.count else { continue }
      for (k, result) in node.results.enumerated() {
        let type = graph.type(of: result)
        guard let shape = type.shape else { continue }
        plans[result.ordinal] =
          ParameterPlan(node.op, result: k, shape: shape, operands)
          ?? ParameterPlan(result, type.dtype, shape: shape)
      }
    }
    self.plans = plans
  }

  /// Whether the value depends on weights and constants alone.
  public func isParameter(_ value: ValueID) -> Bool { plans[value.ordinal] != nil }

  /// The whole tensor: a window of the weight where elements are not touched, else memory of its own size.
  public func tensor(_ value: ValueID) throws -> Tensor {
    let plan = plan(of: value)
    if let window = try window(value) { return try Tensor(plan.dtype, shape: plan.shape, bytes: window) }
    guard let size = Tensor.byteCount(plan.dtype, shape: plan.shape) else {
      throw BessemerError(.limit, "a parameter of type \(TensorType(plan.dtype, shape: plan.shape)) is too large")
    }
    let count = plan.shape.reduce(1, *)
    var losses = CastLosses()
    let bytes = try Bytes(byteCount: size) { try reader.read(plan, 0..<count, to: $0, losses: &losses) }
    return try Tensor(plan.dtype, shape: plan.shape, bytes: bytes)
  }

  /// The bytes of the whole value where they stand in its weight in this order; nil where elements are touched.
  public func window(_ value: ValueID) throws -> Bytes? {
    guard case .view(let source, let view) = plan(of: value).unshaped,
      let range = view.byteRange(0..<view.elementCount)
    else { return nil }
    return try self.source(source).bytes[range]
  }

  /// The panels of a weight that is stored so, see ``WeightLayout``; nil for every other value.
  public func packed(_ value: ValueID) throws -> Bytes? {
    guard case .view(let source, let view) = plan(of: value),
      let (_, op) = graph.producer(of: source, as: Weight.self),
      view.isContiguous, view.shape == op.shape
    else { return nil }
    return try entry(of: op).packed()
  }

  /// Writes the rows, slices along dimension 0, to `target`, which has exactly their size. A scalar is one row.
  public func write(_ value: ValueID, rows: Range<Int>, into target: UnsafeMutableRawBufferPointer) throws {
    let row = plan(of: value).shape.dropFirst().reduce(1, *)
    var losses = CastLosses()
    try write(value, elements: (rows.lowerBound * row)..<(rows.upperBound * row), into: target, losses: &losses)
  }

  /// Writes a range of the elements, in row-major order, to `target`, which has exactly their size; of types below a
  /// byte the range must start and end at whole bytes. Adds to `losses` what narrowing casts did to the values that
  /// were read.
  public func write(
    _ value: ValueID, elements: Range<Int>, into target: UnsafeMutableRawBufferPointer, losses: inout CastLosses
  ) throws {
    let plan = plan(of: value)
    let (start, count) = (elements.lowerBound * plan.dtype.bits, elements.count * plan.dtype.bits)
    precondition(elements.lowerBound >= 0 && elements.upperBound <= plan.shape.reduce(1, *), "rows outside the value")
    precondition(start % 8 == 0 && count % 8 == 0 && target.count == count / 8, "the target has another size")
    try reader.read(plan, elements, to: target, losses: &losses)
  }

  /// Lets go of weights and results that are kept in memory, and of the pages of mapped weights.
  public func forget() {
    releasePages()
    loaded.withLock { $0 = [:] }
  }

  /// Gives the pages of the mapped weights that a value is made of back to the system.
  public func releasePages(of value: ValueID) {
    for source in plan(of: value).sources { known(source)?.bytes.releasePages() }
  }

  /// Gives the pages of mapped weights that were read back to the system. Others may go on reading.
  public func releasePages() {
    for tensor in loaded.withLock({ Array($0.values) }) { tensor.bytes.releasePages() }
  }

  // MARK: Reading

  private func plan(of value: ValueID) -> ParameterPlan {
    guard let plan = plans[value.ordinal] else { preconditionFailure("not a parameter") }
    return plan
  }

  private var reader: PlanReader<ValueID> { PlanReader { [self] in TensorBytes(try source($0).bytes) } }

  // MARK: Sources

  /// The tensor of a value that is no plan over others: a weight, a constant, or what an operator gives.
  private func source(_ value: ValueID) throws -> Tensor {
    if let known = known(value) { return known }
    // Depth first with a stack of our own: expressions from a file may nest as deep as they like.
    var pending = [value]
    while let next = pending.last {
      guard known(next) == nil, let id = graph.producer(of: next) else {
        pending.removeLast()
        continue
      }
      let node = graph[id]
      let missing = node.operands.flatMap { plan(of: $0).sources }.filter { known($0) == nil }
      guard missing.isEmpty else {
        pending += missing
        continue
      }
      let results = try evaluate(node)
      loaded.withLock { table in for (value, tensor) in zip(node.results, results) { table[value] = tensor } }
      pending.removeLast()
    }
    guard let tensor = known(value) else { throw BessemerError(.graph, "a parameter is computed by no node") }
    return tensor
  }

  private func known(_ value: ValueID) -> Tensor? { loaded.withLock { $0[value] } }

  private func evaluate(_ node: Node) throws -> [Tensor] {
    if let op = node.op as? Weight { return [try entry(of: op).tensor()] }
    let types = node.results.map { graph.type(of: $0) }
    for type in types {
      guard let count = type.shape.flatMap(Tensor.elementCount(of:)),
        count <= ParameterReader.maximumEvaluatedElementCount
      else { throw BessemerError(.limit, "\(name(node)): a parameter of type \(type) is too large to be evaluated") }
    }
    let operands = try node.operands.map { try tensor($0) }
    let results: [Tensor]
    do { results = try node.op.evaluate(operands) } catch let error as OpError {
      throw BessemerError(.graph, "\(name(node)): \(error)")
    }
    guard results.map(\.type) == types else {
      throw BessemerError(.graph, "\(name(node)) gives other types than inferred")
    }
    return results
  }

  private func entry(of op: Weight) throws -> TensorStore.Entry {
    guard let entry = weights[op.name] else { throw BessemerError(.weights, "no tensor \(quoted(op.name.string))") }
    guard entry.dtype == op.dtype, entry.shape == op.shape else {
      throw BessemerError(
        .weights,
        "tensor \(quoted(op.name.string)) is \(entry.type), the graph says \(TensorType(op.dtype, shape: op.shape))")
    }
    return entry
  }

  private func name(_ node: Node) -> String {
    Swift.type(of: node.op).schema.name + (node.name.isEmpty ? "" : " " + quoted(node.name))
  }
}
