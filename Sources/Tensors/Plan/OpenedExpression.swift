extension TensorExpression {
  /// The expression with its tensors opened, for reading elements here and there.
  package func opened(_ open: (TensorStore.Entry) throws -> TensorBytes) rethrows -> OpenedExpression {
    OpenedExpression(plan: try plan.mapped(open))
  }
}

/// A ``TensorExpression`` of which any elements can be had.
package struct OpenedExpression: Sendable {
  fileprivate let plan: TensorPlan<TensorBytes>

  /// Elements of a group: they take whole bytes in every type.
  package static let groupElementCount = 8

  /// The number of groups of elements, in row-major order; the last one may be smaller.
  package var groupCount: Int {
    (plan.elementCount + OpenedExpression.groupElementCount - 1) / OpenedExpression.groupElementCount
  }

  /// The bytes of a group.
  package func group(_ index: Int) throws -> Bytes { try groups(index..<(index + 1)) }

  /// The bytes of groups that follow each other.
  package func groups(_ range: Range<Int>) throws -> Bytes {
    let size = OpenedExpression.groupElementCount
    let elements = (range.lowerBound * size)..<min(range.upperBound * size, plan.elementCount)
    var losses = CastLosses()
    return try Bytes(byteCount: (elements.count * plan.dtype.bits + 7) / 8) {
      try PlanReader<TensorBytes> { $0 }.read(plan, elements, to: $0, losses: &losses)
    }
  }
}
