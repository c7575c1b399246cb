/// Tensors that are made in order as they are read, such as those of compressed files.
extension TensorPlan where Source == TensorStore.Entry {
  /// The tensor and its cast, when all of a stream is read in order; nil for any other plan.
  var stream: (entry: TensorStore.Entry, cast: DType)? {
    get throws {
      var plan = unshaped
      if case .cast(let inner, _, _) = plan { plan = inner.unshaped }
      guard case .view(let entry, let view) = plan, view.isContiguous, view.shape.reduce(1, *) == entry.elementCount,
        dtype.bits >= 8, entry.dtype.bits >= 8 || dtype == entry.dtype, try entry.bytes() == nil
      else { return nil }
      return (entry, dtype)
    }
  }
}

extension TensorStore.Entry {
  var elementCount: Int { shape.reduce(1, *) }
}

extension TensorEvaluator {
  /// Reads a stream once from its start to its end.
  func convert(
    _ entry: TensorStore.Entry, _ dtype: DType, _ losses: inout CastLosses, _ note: (@Sendable (Bytes) -> [UInt8])?,
    _ body: (Bytes, [UInt8]) throws -> Void
  ) throws {
    if dtype == entry.dtype, note == nil { return try entry.forEachPiece { try body($0, []) } }
    // So many elements as make a full piece of the result.
    let size =
      entry.dtype.bits < 8
      ? TensorEvaluator.pieceByteCount
      : TensorEvaluator.pieceByteCount / dtype.cellByteCount * entry.dtype.cellByteCount
    let memory = HeapMemory(byteCount: size)
    var filled = 0
    func finish() throws {
      guard filled > 0 else { return }
      let input = Bytes(owner: memory, base: UnsafeRawPointer(memory.base), count: filled)
      guard dtype != entry.dtype else { return try body(input, note?(input) ?? []) }
      let count = filled / entry.dtype.cellByteCount
      let result = try Bytes(byteCount: count * dtype.cellByteCount) { target in
        if let output = target.baseAddress {
          try losses.cast(memory.base, entry.dtype, to: output, dtype, count: count)
        }
      }
      try body(result, note?(result) ?? [])
    }
    try entry.forEachPiece { piece in
      var start = 0
      while start < piece.count {
        let count = min(size - filled, piece.count - start)
        piece[start..<(start + count)].withUnsafeBytes {
          if let source = $0.baseAddress { (memory.base + filled).copyMemory(from: source, byteCount: count) }
        }
        (start, filled) = (start + count, filled + count)
        if filled == size {
          try finish()
          filled = 0
        }
      }
    }
    try finish()
    withExtendedLifetime(memory) {}
  }
}
