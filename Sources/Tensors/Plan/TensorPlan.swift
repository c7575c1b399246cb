/// How the elements of a tensor are found, in row-major order, in the tensors they come from.
///
/// Whatever moves elements is worked into the plan when it is made; ``PlanReader`` reads through it. `Source` names a
/// tensor.
package indirect enum TensorPlan<Source: Sendable>: Sendable {
  /// Elements of a tensor, or all of it.
  case view(Source, StridedView)
  /// Each element of the plan, converted.
  case cast(TensorPlan, from: DType, to: DType)
  /// Parts one after the other along `axis`; `shape` is that of the whole.
  case concat([TensorPlan], axis: Int, dtype: DType, shape: [Int])
  /// The elements of the plan under another shape.
  case reshaped(TensorPlan, [Int])

  /// Plans nest no deeper, and have no more parts, than this when they are transformed.
  package static var maximumDepth: Int { 24 }
  private static var maximumPartCount: Int { 1024 }

  /// A whole tensor.
  package init(_ source: Source, _ dtype: DType, shape: [Int]) {
    self = .view(source, StridedView(dtype, shape: shape))
  }

  package var shape: [Int] {
    switch self {
    case .view(_, let view): view.shape
    case .cast(let plan, _, _): plan.shape
    case .concat(_, _, _, let shape), .reshaped(_, let shape): shape
    }
  }

  package var dtype: DType {
    switch self {
    case .view(_, let view): view.dtype
    case .cast(_, _, let to): to
    case .concat(_, _, let dtype, _): dtype
    case .reshaped(let plan, _): plan.dtype
    }
  }

  package var elementCount: Int { shape.reduce(1, *) }

  /// The plan whose elements these are, in the same order, before they got another shape.
  package var unshaped: TensorPlan {
    if case .reshaped(let plan, _) = self { return plan.unshaped }
    return self
  }

  /// Whether elements are cast.
  var isCast: Bool {
    switch self {
    case .view: false
    case .cast: true
    case .concat(let parts, _, _, _): parts.contains(where: \.isCast)
    case .reshaped(let plan, _): plan.isCast
    }
  }

  /// How many plans are inside each other.
  package var depth: Int {
    switch self {
    case .view: 1
    case .cast(let plan, _, _), .reshaped(let plan, _): plan.depth + 1
    case .concat(let parts, _, _, _): (parts.map(\.depth).max() ?? 0) + 1
    }
  }

  /// The tensors that are read, each as often as it occurs.
  package var sources: [Source] {
    switch self {
    case .view(let source, _): [source]
    case .cast(let plan, _, _), .reshaped(let plan, _): plan.sources
    case .concat(let parts, _, _, _): parts.flatMap(\.sources)
    }
  }

  /// The same plan over other tensors, of the same types and shapes.
  package func mapped<Other>(_ body: (Source) throws -> Other) rethrows -> TensorPlan<Other> {
    switch self {
    case .view(let source, let view): .view(try body(source), view)
    case .cast(let plan, let from, let to): .cast(try plan.mapped(body), from: from, to: to)
    case .reshaped(let plan, let shape): .reshaped(try plan.mapped(body), shape)
    case .concat(let parts, let axis, let dtype, let shape):
      .concat(try parts.map { try $0.mapped(body) }, axis: axis, dtype: dtype, shape: shape)
    }
  }

  package func cast(to dtype: DType) -> TensorPlan {
    dtype == self.dtype ? self : .cast(self, from: self.dtype, to: dtype)
  }

  package func reshaped(_ shape: [Int]) -> TensorPlan {
    switch self {
    case .view(let source, let view): view.reshaped(shape).map { .view(source, $0) } ?? .reshaped(self, shape)
    case .cast(let plan, let from, let to): .cast(plan.reshaped(shape), from: from, to: to)
    case .concat: shape == self.shape ? self : .reshaped(self, shape)
    case .reshaped(let plan, _): plan.reshaped(shape)
    }
  }

  /// Nil when a plan cannot say it.
  package func transposed(_ permutation: [Int]) -> TensorPlan? {
    switch self {
    case .view(let source, let view): return .view(source, view.transposed(permutation))
    case .cast(let plan, let from, let to): return plan.transposed(permutation).map { .cast($0, from: from, to: to) }
    case .concat(let parts, let axis, let dtype, let shape):
      guard let axis = permutation.firstIndex(of: axis),
        let parts = TensorPlan.each(parts, { $0.transposed(permutation) })
      else { return nil }
      return .concat(parts, axis: axis, dtype: dtype, shape: permutation.map { shape[$0] })
    case .reshaped: return nil
    }
  }

  /// `count` slices along `axis`, each `step` from the one before; nil when a plan cannot say it.
  package func sliced(axis: Int, first: Int, step: Int, count: Int) -> TensorPlan? {
    switch self {
    case .view(let source, let view):
      return .view(source, view.sliced(axis: axis, first: first, step: step, count: count))
    case .cast(let plan, let from, let to):
      return plan.sliced(axis: axis, first: first, step: step, count: count).map { .cast($0, from: from, to: to) }
    case .concat(let parts, let along, let dtype, var shape):
      shape[axis] = count
      var cut: [TensorPlan] = []
      if axis != along {
        guard let all = TensorPlan.each(parts, { $0.sliced(axis: axis, first: first, step: step, count: count) })
        else { return nil }
        cut = all
      } else {
        guard step == 1 || count <= 1 else { return nil }
        var start = 0
        for part in parts {
          let end = start + part.shape[axis]
          let (low, high) = (max(start, first), min(end, first + count))
          if low < high {
            guard let piece = part.sliced(axis: axis, first: low - start, step: 1, count: high - low) else {
              return nil
            }
            cut.append(piece)
          }
          start = end
        }
        if cut.count == 1 { return cut[0] }
      }
      return .concat(cut, axis: along, dtype: dtype, shape: shape)
    case .reshaped(let plan, let shape):
      // Slices of the first dimension are runs of elements; of others, nothing follows.
      guard axis == 0, step == 1 || count <= 1, count > 0, plan.shape.count > 0 else { return nil }
      let inner = shape.dropFirst().reduce(1, *)
      let row = plan.shape.dropFirst().reduce(1, *)
      guard row > 0, first * inner % row == 0, count * inner % row == 0 else { return nil }
      let part = plan.sliced(axis: 0, first: first * inner / row, step: 1, count: count * inner / row)
      return part.map { $0.reshaped([count] + shape.dropFirst()) }
    }
  }

  /// The plan broadcast to a shape that follows NumPy's rules; nil when a plan cannot say it.
  package func expanded(_ target: [Int]) -> TensorPlan? {
    switch self {
    case .view(let source, let view): .view(source, view.expanded(target))
    case .cast(let plan, let from, let to): plan.expanded(target).map { .cast($0, from: from, to: to) }
    case .concat, .reshaped: nil
    }
  }

  /// The parts transformed, unless they are too many or one cannot be.
  private static func each(_ parts: [TensorPlan], _ body: (TensorPlan) -> TensorPlan?) -> [TensorPlan]? {
    guard parts.count <= maximumPartCount else { return nil }
    var result: [TensorPlan] = []
    for part in parts {
      guard let part = body(part) else { return nil }
      result.append(part)
    }
    return result
  }
}
