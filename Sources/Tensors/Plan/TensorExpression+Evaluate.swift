extension TensorExpression {
  /// Bytes of a piece of what is computed.
  static let pieceByteCount = 1 << 20
  /// Bytes of a piece of what is turned: the larger, the longer are the runs that are read.
  static let turnedByteCount = 8 << 20

  /// Gives the bytes in row-major order to `body`: windows of mapped files where elements stay as they are, else pieces
  /// of at most 8 MB. Returns what casts did.
  @discardableResult
  public func forEachPiece(_ body: (Bytes) throws -> Void) throws -> CastLosses {
    var losses = CastLosses()
    try TensorExpression.forEachPiece(plan, &losses, body)
    return losses
  }

  private static func forEachPiece(
    _ plan: TensorPlan<TensorStore.Entry>, _ losses: inout CastLosses, _ body: (Bytes) throws -> Void
  ) throws {
    guard plan.elementCount > 0 else { return }
    switch plan {
    case .reshaped(let inner, _): return try forEachPiece(inner, &losses, body)
    case .concat(let parts, let axis, let dtype, let shape)
    where shape[..<axis].allSatisfy { $0 == 1 } && parts.allSatisfy { dtype.byteCount(of: $0.elementCount) != nil }:
      for part in parts { try forEachPiece(part, &losses, body) }
      return
    case .view(let entry, let view):
      if let range = view.byteRange(0..<view.elementCount) { return try entry.forEachPiece(in: range, body) }
    default: break
    }
    // Tensors are opened once, however many pieces are made of them.
    let opened = try plan.mapped { try $0.bytes() }
    let reader = PlanReader<TensorBytes> { $0 }
    let wanted = plan.isTurned ? turnedByteCount : pieceByteCount
    // A multiple of eight elements takes whole bytes in every type.
    let step = max(8, wanted * 8 / plan.dtype.bits / 8 * 8)
    for start in stride(from: 0, to: plan.elementCount, by: step) {
      try Interrupt.check()
      let elements = start..<min(start + step, plan.elementCount)
      let piece = try Bytes(byteCount: (elements.count * plan.dtype.bits + 7) / 8) {
        try reader.read(opened, elements, to: $0, losses: &losses)
      }
      try body(piece)
    }
  }
}

extension TensorPlan {
  /// Whether runs of elements that follow each other in the result lie far apart in a tensor.
  var isTurned: Bool {
    switch self {
    case .view(_, let view): !view.isContiguous && view.strides.last.map { $0 != 1 } ?? false
    case .cast(let plan, _, _), .reshaped(let plan, _): plan.isTurned
    case .concat(let parts, _, _, _): parts.contains(where: \.isTurned)
    }
  }
}

extension TensorStore.Entry {
  /// Gives the bytes of a range, in row-major order, to `body`.
  func forEachPiece(in range: Range<Int>, _ body: (Bytes) throws -> Void) throws {
    guard range != 0..<byteCount else { return try forEachPiece(body) }
    var start = 0
    try forEachPiece { piece in
      let overlap = range.clamped(to: start..<(start + piece.count))
      if !overlap.isEmpty { try body(piece[(overlap.lowerBound - start)..<(overlap.upperBound - start)]) }
      start += piece.count
    }
  }
}
