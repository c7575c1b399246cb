/// Computes tensors piece by piece, several pieces at a time, in memory that is planned once.
///
/// Bytes that stay as they are go by as windows of their files.
///
/// Unsafe inside: slots are shared, so that one caller at a time may use it.
public final class TensorEvaluator: @unchecked Sendable {
  /// Bytes of a piece of what is computed: whole elements of every type.
  public static let pieceByteCount = 3 << 18
  /// Bytes of a window of a file that is given away at once.
  private static let windowByteCount = 32 << 20
  /// Pieces that turning one piece takes at most for each thread: two that are made and handed on in turns, one that
  /// is gathered, and one for all else.
  private static let piecesPerThread = 4

  public let threads: Int
  /// Bytes of a piece of what is turned: the larger, the longer are the runs that are read.
  let turnedByteCount: Int
  /// A folder for what has to be kept on disk while it is used.
  private let spoolFolder: String
  private let pipeline: OrderedPipeline<Slot>

  /// Memory for one piece, taken when it is needed first.
  private final class Slot {
    private var memory: HeapMemory?
    var count = 0
    var losses = CastLosses()
    var note: [UInt8] = []

    func reserve(_ byteCount: Int) throws -> UnsafeMutableRawBufferPointer {
      if memory.map({ $0.byteCount < byteCount }) ?? true {
        memory = nil
        guard let larger = HeapMemory(checkedByteCount: byteCount) else {
          throw BessemerError(.memory, "cannot allocate \(byteCount) bytes")
        }
        memory = larger
      }
      count = byteCount
      return UnsafeMutableRawBufferPointer(start: memory?.base, count: byteCount)
    }

    /// What was written, valid until the slot is used again.
    var bytes: Bytes { Bytes(owner: memory, base: memory.map { UnsafeRawPointer($0.base) }, count: count) }
  }

  /// Takes at most `memoryByteCount` bytes, but never less than ``leastByteCount``; fewer threads if that is too little
  /// for so many.
  public init(threads: Int = 1, memoryByteCount: Int = 64 << 20, spoolFolder: String = "/tmp") {
    let piece = TensorEvaluator.pieceByteCount
    let most = max(1, memoryByteCount / (TensorEvaluator.piecesPerThread * piece))
    let count = max(1, min(threads, OrderedPipeline<Slot>.maximumThreadCount, most))
    self.threads = count
    turnedByteCount =
      max(1, min(TensorEvaluator.mostPieceCount, memoryByteCount / (count * TensorEvaluator.piecesPerThread * piece)))
      * piece
    self.spoolFolder = spoolFolder
    pipeline = OrderedPipeline(threads: count) { Slot() }
  }

  /// Bytes of memory that it takes at most.
  public var memoryByteCount: Int { threads * TensorEvaluator.piecesPerThread * turnedByteCount }
  /// Bytes that no evaluator can do without.
  public static let leastByteCount = piecesPerThread * pieceByteCount
  /// Bytes that a thread makes use of.
  public static let mostByteCountPerThread = mostPieceCount * leastByteCount
  /// Pieces' sizes in one that is turned.
  private static let mostPieceCount = 10

  /// Gives the bytes in row-major order to `body`: windows of files where elements stay as they are, else pieces that
  /// are valid until it returns. Returns what casts did.
  @discardableResult
  public func forEachPiece(_ expression: TensorExpression, _ body: (Bytes) throws -> Void) throws -> CastLosses {
    var losses = CastLosses()
    try forEachSegment(expression.plan, &losses, body)
    return losses
  }

  /// The same, but all bytes go through memory in pieces of a multiple of ``pieceByteCount``, the last maybe shorter;
  /// `body` also gets what `note` made of each, on any thread.
  @discardableResult
  public func forEachPiece(
    _ expression: TensorExpression, note: @escaping @Sendable (Bytes) -> [UInt8],
    _ body: (Bytes, [UInt8]) throws -> Void
  ) throws -> CastLosses {
    var losses = CastLosses()
    try compute(expression.plan.unshaped, &losses, note, body)
    return losses
  }

  /// Parts that follow each other in the result one by one.
  private func forEachSegment(
    _ plan: TensorPlan<TensorStore.Entry>, _ losses: inout CastLosses, _ body: (Bytes) throws -> Void
  ) throws {
    guard plan.elementCount > 0 else { return }
    switch plan {
    case .reshaped(let inner, _): try forEachSegment(inner, &losses, body)
    case .concat(let parts, let axis, let dtype, let shape)
    where shape[..<axis].allSatisfy { $0 == 1 } && parts.allSatisfy { dtype.byteCount(of: $0.elementCount) != nil }:
      for part in parts { try forEachSegment(part, &losses, body) }
    case .view(let entry, let view):
      guard let range = view.byteRange(0..<view.elementCount), let bytes = try entry.bytes(), bytes.isWindows else {
        return try compute(plan, &losses, nil) { piece, _ in try body(piece) }
      }
      try bytes.forEachWindow(range) { window in
        for start in stride(from: 0, to: window.count, by: TensorEvaluator.windowByteCount) {
          try Interrupt.check()
          try body(window[start..<min(start + TensorEvaluator.windowByteCount, window.count)])
        }
      }
    case .cast: try compute(plan, &losses, nil) { piece, _ in try body(piece) }
    case .concat: try compute(plan, &losses, nil) { piece, _ in try body(piece) }
    }
  }

  /// Makes all bytes in memory.
  private func compute(
    _ plan: TensorPlan<TensorStore.Entry>, _ losses: inout CastLosses, _ note: (@Sendable (Bytes) -> [UInt8])?,
    _ body: (Bytes, [UInt8]) throws -> Void
  ) throws {
    guard plan.elementCount > 0 else { return }
    if let (stream, cast) = try plan.stream { return try convert(stream, cast, &losses, note, body) }
    let opened = try plan.mapped { try $0.bytes() ?? Spool.bytes(of: $0, in: spoolFolder) }
    let reader = PlanReader<TensorBytes>(gatherByteCount: turnedByteCount) { $0 }
    // A multiple of eight elements takes whole bytes in every type, and so does a piece.
    let size = plan.isTurned ? turnedByteCount : TensorEvaluator.pieceByteCount
    let step = size * 8 / plan.dtype.bits
    let count = plan.elementCount
    try pipeline.run((count + step - 1) / step) { index, slot in
      let elements = (index * step)..<min((index + 1) * step, count)
      let target = try slot.reserve((elements.count * plan.dtype.bits + 7) / 8)
      slot.losses = CastLosses()
      try reader.read(opened, elements, to: target, losses: &slot.losses)
      if let note { slot.note = note(slot.bytes) }
    } consume: { _, slot in
      losses += slot.losses
      try body(slot.bytes, slot.note)
    }
  }
}

extension TensorPlan {
  /// Whether elements that follow each other in the result lie far apart in a tensor.
  var isTurned: Bool {
    switch self {
    case .view(_, let view): !view.isContiguous && view.strides.last.map { $0 != 1 } ?? false
    case .cast(let plan, _, _), .reshaped(let plan, _): plan.isTurned
    case .concat(let parts, _, _, _): parts.contains(where: \.isTurned)
    }
  }
}
