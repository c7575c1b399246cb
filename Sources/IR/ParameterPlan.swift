import Tensors

/// How the elements of a parameter are found, in row-major order, in the tensors they come from.
///
/// Operators that move elements are worked into the plan; what a plan cannot express is evaluated as a whole and
/// becomes the source of a plan of its own.
indirect enum ParameterPlan: Sendable {
  case view(StridedView)
  /// Each element of the plan, converted.
  case cast(ParameterPlan, from: DType, to: DType)
  /// Parts one after the other along `axis`; `shape` is that of the whole.
  case concat([ParameterPlan], axis: Int, dtype: DType, shape: [Int])
  /// The elements of the plan under another shape.
  case reshaped(ParameterPlan, [Int])

  /// Plans nest no deeper, and have no more parts, than this when they are transformed.
  static let maximumDepth = 24
  private static let maximumPartCount = 1024

  var shape: [Int] {
    switch self {
    case .view(let view): view.shape
    case .cast(let plan, _, _): plan.shape
    case .concat(_, _, _, let shape), .reshaped(_, let shape): shape
    }
  }

  var dtype: DType {
    switch self {
    case .view(let view): view.dtype
    case .cast(_, _, let to): to
    case .concat(_, _, let dtype, _): dtype
    case .reshaped(let plan, _): plan.dtype
    }
  }

  /// How many plans are inside each other.
  var depth: Int {
    switch self {
    case .view: 1
    case .cast(let plan, _, _), .reshaped(let plan, _): plan.depth + 1
    case .concat(let parts, _, _, _): (parts.map(\.depth).max() ?? 0) + 1
    }
  }

  /// The values whose tensors are read.
  var sources: [ValueID] {
    switch self {
    case .view(let view): [view.source]
    case .cast(let plan, _, _), .reshaped(let plan, _): plan.sources
    case .concat(let parts, _, _, _): parts.flatMap(\.sources)
    }
  }

  /// The plan of an operator's result from those of its operands; nil when it has none.
  init?(_ op: any Op, result: Int, shape: [Int], _ operands: [ParameterPlan]) {
    guard let x = operands.first, operands.allSatisfy({ $0.depth < ParameterPlan.maximumDepth }) else { return nil }
    let isMovable = StridedView.canMove(x.dtype, rank: max(x.shape.count, shape.count))
    let plan: ParameterPlan?
    switch op {
    case let op as Cast:
      guard op.to != x.dtype else {
        self = x
        return
      }
      guard x.dtype.bits >= 8, op.to.bits >= 8 else { return nil }
      plan = .cast(x, from: x.dtype, to: op.to)
    case is Reshape, is Squeeze, is Unsqueeze: plan = x.reshaped(shape)
    case let op as Concat where isMovable:
      let axis = op.axis < 0 ? op.axis + shape.count : op.axis
      plan = .concat(operands, axis: axis, dtype: x.dtype, shape: shape)
    case let op as Transpose where isMovable: plan = x.transposed(op.permutation)
    case let op as Slice where isMovable:
      let axis = op.axis < 0 ? op.axis + shape.count : op.axis
      let first = op.range(of: x.shape[axis]).first
      plan = x.sliced(axis: axis, first: first, step: op.step, count: shape[axis])
    case let op as Split where isMovable:
      let axis = op.axis < 0 ? op.axis + shape.count : op.axis
      plan = x.sliced(axis: axis, first: op.sizes[..<result].reduce(0, +), step: 1, count: op.sizes[result])
    case is Expand where isMovable: plan = x.expanded(shape)
    default: plan = nil
    }
    guard let plan else { return nil }
    self = plan
  }

  private func reshaped(_ shape: [Int]) -> ParameterPlan {
    switch self {
    case .view(let view): view.reshaped(shape).map { .view($0) } ?? .reshaped(self, shape)
    case .cast(let plan, let from, let to): .cast(plan.reshaped(shape), from: from, to: to)
    case .concat: .reshaped(self, shape)
    case .reshaped(let plan, _): plan.reshaped(shape)
    }
  }

  private func transposed(_ permutation: [Int]) -> ParameterPlan? {
    switch self {
    case .view(let view): return .view(view.transposed(permutation))
    case .cast(let plan, let from, let to): return plan.transposed(permutation).map { .cast($0, from: from, to: to) }
    case .concat(let parts, let axis, let dtype, let shape):
      guard let axis = permutation.firstIndex(of: axis),
        let parts = ParameterPlan.each(parts, { $0.transposed(permutation) })
      else { return nil }
      return .concat(parts, axis: axis, dtype: dtype, shape: permutation.map { shape[$0] })
    case .reshaped: return nil
    }
  }

  private func sliced(axis: Int, first: Int, step: Int, count: Int) -> ParameterPlan? {
    switch self {
    case .view(let view): return .view(view.sliced(axis: axis, first: first, step: step, count: count))
    case .cast(let plan, let from, let to):
      return plan.sliced(axis: axis, first: first, step: step, count: count).map { .cast($0, from: from, to: to) }
    case .concat(let parts, let along, let dtype, var shape):
      shape[axis] = count
      var cut: [ParameterPlan] = []
      if axis != along {
        guard
          let all = ParameterPlan.each(parts, { $0.sliced(axis: axis, first: first, step: step, count: count) })
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
      }
      return .concat(cut, axis: along, dtype: dtype, shape: shape)
    case .reshaped(let plan, let shape):
      // Slices of the first dimension are runs of elements; of others, nothing follows.
      guard axis == 0, step == 1 || count <= 1, count > 0, plan.shape.count > 0 else { return nil }
      let inner = shape.dropFirst().reduce(1, *)
      let row = plan.shape.dropFirst().reduce(1, *)
      guard row > 0, first * inner % row == 0, count * inner % row == 0 else { return nil }
      let part = plan.sliced(axis: 0, first: first * inner / row, step: 1, count: count * inner / row)
      return part.map { .reshaped($0, [count] + shape.dropFirst()) }
    }
  }

  private func expanded(_ target: [Int]) -> ParameterPlan? {
    switch self {
    case .view(let view): .view(view.expanded(target))
    case .cast(let plan, let from, let to): plan.expanded(target).map { .cast($0, from: from, to: to) }
    case .concat, .reshaped: nil
    }
  }

  /// The parts transformed, unless they are too many or one cannot be.
  private static func each(_ parts: [ParameterPlan], _ body: (ParameterPlan) -> ParameterPlan?) -> [ParameterPlan]? {
    guard parts.count <= maximumPartCount else { return nil }
    var result: [ParameterPlan] = []
    for part in parts {
      guard let part = body(part) else { return nil }
      result.append(part)
    }
    return result
  }
}
