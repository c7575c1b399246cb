internal import Tensors

/// What a cast did to the values of a tensor.
public struct CastReport: Sendable, Equatable {
  /// Values that were cast.
  public private(set) var examined = 0
  /// Numbers that are not the same afterwards.
  public private(set) var changed = 0
  /// Finite numbers that became infinite.
  public private(set) var overflowed = 0
  /// Numbers that became zero.
  public private(set) var underflowed = 0
  /// Values that are no numbers, before as after.
  public private(set) var nanCount = 0
  /// The largest difference of a number that stayed finite.
  public private(set) var largestError = 0.0

  /// Whether a value may have changed.
  public var isLossy: Bool { changed > 0 }

  /// Elements that are cast at a time: 1 MB of the widest type.
  static let pieceElementCount = 1 << 17

  /// Whether each value of `from` is one of `to`.
  static func isExact(from: DType, to: DType) -> Bool {
    from == to || to == .float64 || to == .float32 && (from == .float16 || from == .bfloat16)
  }

  /// Casts a tensor piece by piece; `body` gets the bytes of the result in order.
  static func cast(
    _ entry: TensorStore.Entry, to dtype: DType, _ body: (Bytes) throws -> Void
  ) throws -> CastReport {
    var report = CastReport()
    let size = entry.dtype.bits / 8
    func convert(_ bytes: Bytes) throws {
      try Interrupt.check()
      let source = try Tensor(entry.dtype, shape: [bytes.count / size], bytes: bytes)
      let result = try source.cast(to: dtype)
      try report.note(source, result)
      try body(result.bytes)
      bytes.releasePages()
    }
    // An element that two pieces share.
    var cut: [UInt8] = []
    try entry.forEachPiece { piece in
      var start = 0
      if !cut.isEmpty {
        start = min(size - cut.count, piece.count)
        cut += piece[0..<start].array
        guard cut.count == size else { return }
        try convert(Bytes(cut))
        cut = []
      }
      let end = start + (piece.count - start) / size * size
      while start < end {
        let next = min(end, start + pieceElementCount * size)
        try convert(piece[start..<next])
        start = next
      }
      cut = piece[end..<piece.count].array
    }
    return report
  }

  private mutating func note(_ source: Tensor, _ result: Tensor) throws {
    examined += source.elementCount
    guard !CastReport.isExact(from: source.dtype, to: result.dtype) else { return }
    let short: Set<DType> = [.float32, .float16, .bfloat16]
    guard short.contains(source.dtype), short.contains(result.dtype) else {
      for (a, b) in zip(source.doubles, result.doubles) { note(a, b) }
      return
    }
    let (before, after) = (try source.cast(to: .float32).bytes, try result.cast(to: .float32).bytes)
    before.withUnsafeBytes { x in
      after.withUnsafeBytes { y in
        for offset in stride(from: 0, to: x.count, by: 4) {
          let a = x.loadUnaligned(fromByteOffset: offset, as: Float.self)
          let b = y.loadUnaligned(fromByteOffset: offset, as: Float.self)
          if a != b { note(Double(a), Double(b)) }
        }
      }
    }
  }

  private mutating func note(_ a: Double, _ b: Double) {
    guard a != b else { return }
    guard !a.isNaN else { return nanCount += 1 }
    changed += 1
    guard b.isFinite else { return overflowed += a.isFinite ? 1 : 0 }
    if b == 0 { underflowed += 1 }
    largestError = max(largestError, (a - b).magnitude)
  }
}
