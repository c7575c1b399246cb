internal import Glibc

/// Reads elements through a ``TensorPlan``: any range of them, in row-major order, with memory that depends on the
/// range alone.
///
/// Of a mapped file only the bytes that are needed are read, by descriptor; pieces that lie apart are gathered first
/// and then turned in memory. Whoever transposes asks for many elements at once, so that the pieces are long.
package struct PlanReader<Source: Sendable> {
  /// The bytes of a tensor.
  private let open: (Source) throws -> TensorBytes
  /// Bytes that are gathered before they are turned.
  private let gatherByteCount: Int

  /// Bytes that are cast at a time: few enough for the second cache, and for memory that is kept for the next.
  private static var castByteCount: Int { 96 << 10 }
  /// Bytes that are rather read in vain than skipped by another call.
  private static var gapByteCount: Int { 4096 }

  package init(gatherByteCount: Int = 8 << 20, _ open: @escaping (Source) throws -> TensorBytes) {
    self.gatherByteCount = gatherByteCount
    self.open = open
  }

  /// Writes a range of the elements to `target`, which has exactly their size; of types below a byte the range starts
  /// and ends at whole bytes. Adds to `losses` what casts did to the values.
  package func read(
    _ plan: TensorPlan<Source>, _ elements: Range<Int>, to target: UnsafeMutableRawBufferPointer,
    losses: inout CastLosses
  ) throws {
    let bits = plan.dtype.bits
    precondition(target.count * 8 == elements.count * bits, "the target has another size")
    guard !elements.isEmpty, let output = target.baseAddress else { return }
    if case .view(let source, let view) = plan.unshaped, let range = view.byteRange(elements) {
      return try open(source).read(range, into: output)
    }
    guard bits < 8 else { return try readCells(plan, elements, output, &losses) }
    // Elements below a byte are moved as whole bytes.
    try withScratch(elements.count) { cells in
      try readCells(plan, elements, cells, &losses)
      BitCells.pack(cells, bits: bits, count: elements.count, into: output)
    }
  }

  // MARK: Cells: one for each element, of a byte at least

  private func readCells(
    _ plan: TensorPlan<Source>, _ elements: Range<Int>, _ target: UnsafeMutableRawPointer, _ losses: inout CastLosses
  ) throws {
    guard !elements.isEmpty else { return }
    switch plan {
    case .view(let source, let view):
      let bytes = try open(source)
      var target = target
      try view.forEachBlock(elements) { block in
        try gather(StridedBlock(block), from: bytes, to: target)
        target += block.elementCount * view.dtype.cellByteCount
      }
    case .reshaped(let inner, _): try readCells(inner, elements, target, &losses)
    case .concat(let parts, let axis, let dtype, let shape):
      try readParts(parts, axis, dtype, shape, elements, target, &losses)
    case .cast(let inner, let from, let to):
      let step = PlanReader.castByteCount / from.cellByteCount
      for start in stride(from: elements.lowerBound, to: elements.upperBound, by: step) {
        let piece = start..<min(start + step, elements.upperBound)
        let output = target + (start - elements.lowerBound) * to.cellByteCount
        try withScratch(piece.count * from.cellByteCount) { input in
          try readCells(inner, piece, input, &losses)
          try losses.cast(input, from, to: output, to, count: piece.count)
        }
      }
    }
  }

  /// Reads each run of each part that the range touches.
  private func readParts(
    _ parts: [TensorPlan<Source>], _ axis: Int, _ dtype: DType, _ shape: [Int], _ elements: Range<Int>,
    _ target: UnsafeMutableRawPointer, _ losses: inout CastLosses
  ) throws {
    let inner = shape[(axis + 1)...].reduce(1, *)
    let runs = parts.map { $0.shape[axis] * inner }
    let blockSize = shape[axis] * inner
    var block = elements.lowerBound / blockSize
    while block * blockSize < elements.upperBound {
      var begin = block * blockSize
      for (part, run) in zip(parts, runs) where run > 0 {
        let overlap = (begin..<(begin + run)).clamped(to: elements)
        if !overlap.isEmpty {
          let first = block * run + overlap.lowerBound - begin
          let output = target + (overlap.lowerBound - elements.lowerBound) * dtype.cellByteCount
          try readCells(part, first..<(first + overlap.count), output, &losses)
        }
        begin += run
      }
      block += 1
    }
  }

  // MARK: Gathering

  /// Copies the elements of a block to cells.
  private func gather(_ block: StridedBlock, from bytes: TensorBytes, to target: UnsafeMutableRawPointer) throws {
    let (dtype, size) = (block.dtype, block.dtype.cellByteCount)
    let whole = block.span(from: 0)
    let first = block.offset + whole.low
    if dtype.bits >= 8, let memory = bytes.memory((first * size)..<((first + whole.count) * size)) {
      return memory.withUnsafeBytes { raw in
        guard let base = raw.baseAddress else { return }
        copyCells(
          size, block.shape, to: target + block.targetOffset * size, block.targetStrides,
          from: base - whole.low * size, block.strides)
      }
    }
    let inner = block.runDimension(gapByteCount: PlanReader.gapByteCount)
    let isRun = inner + 1 >= block.shape.count && block.isRun
    let run = block.span(from: inner)
    // Elements below a byte are read from a whole byte on to another.
    let group = dtype.bits == 4 ? 2 : dtype.bits < 8 ? 4 : 1
    let slot = (run.count + 2 * (group - 1)) / group * group
    let outer = block.shape[..<inner]
    let slotCount = outer.reduce(1, *)
    guard isRun || slotCount * slot * size <= gatherByteCount || block.shape.isEmpty else {
      for half in block.halves { try gather(half, from: bytes, to: target) }
      return
    }
    func forEachRow(_ body: (_ row: Int, _ source: Int, _ target: Int) throws -> Void) rethrows {
      for row in 0..<slotCount {
        var (rest, source, target) = (row, block.offset, block.targetOffset)
        for k in outer.indices.reversed() {
          let (quotient, index) = rest.quotientAndRemainder(dividingBy: outer[k])
          rest = quotient
          source += index * block.strides[k]
          target += index * block.targetStrides[k]
        }
        try body(row, source, target)
      }
    }
    if isRun {
      return try forEachRow { _, source, place in
        try bytes.read((source * size)..<((source + run.count) * size), into: target + place * size)
      }
    }
    try withScratch(slotCount * slot * size) { cells in
      try forEachRow { row, source, _ in
        let (start, end) = (source + run.low, source + run.low + run.count)
        let place = cells + row * slot * size
        guard group > 1 else { return try bytes.read((start * size)..<(end * size), into: place) }
        let (low, high) = (start / group * group, (end + group - 1) / group * group)
        let range = (low * dtype.bits / 8)..<(high * dtype.bits / 8)
        try withScratch(range.count) { packed in
          try bytes.read(range, into: packed)
          BitCells.unpack(packed, bits: dtype.bits, skipping: start - low, count: end - start, into: place)
        }
      }
      let rows = rowMajorStrides(Array(outer)).map { $0 * slot }
      copyCells(
        size, block.shape, to: target + block.targetOffset * size, block.targetStrides, from: cells - run.low * size,
        rows + block.strides[inner...])
    }
  }
}

/// Copies cells through strides, as ``copyStrided(elementByteCount:shape:to:_:from:_:)`` does, of 16 bytes too.
private func copyCells(
  _ size: Int, _ shape: [Int], to target: UnsafeMutableRawPointer, _ targetStrides: [Int],
  from source: UnsafeRawPointer, _ sourceStrides: [Int]
) {
  guard size > 8 else {
    return copyStrided(
      elementByteCount: size, shape: shape, to: target, targetStrides, from: source, sourceStrides)
  }
  let parts = size / 8
  copyStrided(
    elementByteCount: 8, shape: shape + [parts], to: target, targetStrides.map { $0 * parts } + [1], from: source,
    sourceStrides.map { $0 * parts } + [1])
}

/// Memory that is not zeroed, for as long as `body` runs.
func withScratch<R>(_ byteCount: Int, _ body: (UnsafeMutableRawPointer) throws -> R) throws -> R {
  guard let memory = malloc(max(1, byteCount)) else {
    throw BessemerError(.memory, "cannot allocate \(byteCount) bytes")
  }
  defer { free(memory) }
  return try body(memory)
}
