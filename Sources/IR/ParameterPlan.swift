import Tensors

/// How the elements of a parameter are found in the weights and constants it is computed from.
///
/// Operators that move elements are worked into the plan; what a plan cannot express is evaluated as a whole and
/// becomes the source of a plan of its own.
typealias ParameterPlan = TensorPlan<ValueID>

extension TensorPlan where Source == ValueID {
  /// The plan of an operator's result from those of its operands; nil when it has none.
  init?(_ op: any Op, result: Int, shape: [Int], _ operands: [ParameterPlan]) {
    guard let x = operands.first, operands.allSatisfy({ $0.depth < ParameterPlan.maximumDepth }) else { return nil }
    let isMovable = StridedView.canMove(x.dtype, rank: max(x.shape.count, shape.count))
    let plan: ParameterPlan?
    switch op {
    case let op as Cast:
      guard op.to == x.dtype || x.dtype.bits >= 8 && op.to.bits >= 8 else { return nil }
      plan = x.cast(to: op.to)
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
}
