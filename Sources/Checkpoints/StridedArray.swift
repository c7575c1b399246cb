internal import Tensors

/// Elements of a window at regular distances, of either byte order: a transposed, expanded or byte-swapped array, which
/// is given row-major and little-endian, piece by piece.
struct StridedArray: Sendable {
  /// What the elements lie in.
  private let bytes: Bytes
  /// Bytes of a part that is moved: of an element, or of half a complex one.
  private let partByteCount: Int
  /// Where the first element starts in `bytes`.
  private let byteOffset: Int
  private let isBigEndian: Bool
  /// In parts; dimensions of one element are left out, those that follow each other are joined.
  private let shape: [Int]
  private let strides: [Int]
  /// Bytes of all elements.
  let byteCount: Int

  /// Bytes that are put together before they are handed on.
  private static let pieceSize = 1 << 20
  /// Bytes of the source that may be touched before its pages are given back.
  private static let residentByteCount = 16 << 20
  /// Dimensions that one call copies.
  private static let blockRank = 8

  /// `offset` and `strides` are in elements of at least one byte, none negative. Nil when an element would lie outside
  /// the window or the shape is out of limits.
  init?(
    _ bytes: Bytes, _ dtype: DType, shape: [Int], strides: [Int], offset: Int = 0, isBigEndian: Bool = false
  ) {
    let size = dtype.bits / 8
    guard dtype.bits >= 8, shape.count == strides.count, offset >= 0, strides.allSatisfy({ $0 >= 0 }),
      let count = Tensor.elementCount(of: shape), let byteCount = Tensor.byteCount(dtype, shape: shape)
    else { return nil }
    var end = offset
    for (dim, stride) in zip(shape, strides) where count > 0 {
      guard let reach = CheckedSize.product(dim - 1, stride), let sum = CheckedSize.sum(end, reach) else { return nil }
      end = sum
    }
    guard count == 0 || end < bytes.count / size else { return nil }
    let parts = dtype.isComplex ? 2 : 1
    var dims: [(count: Int, stride: Int)] = []
    // Strides of dimensions of one element are never taken, and may be anything.
    let all = zip(shape, strides).map { ($0, $0 > 1 && count > 0 ? $1 * parts : 0) } + (parts > 1 ? [(parts, 1)] : [])
    for (dim, stride) in all where dim != 1 && count > 0 {
      if let last = dims.last, last.stride == stride * dim {
        dims[dims.count - 1] = (last.count * dim, stride)
      } else {
        dims.append((dim, stride))
      }
    }
    self.bytes = bytes
    self.isBigEndian = isBigEndian
    self.byteCount = byteCount
    partByteCount = size / parts
    byteOffset = count == 0 ? 0 : offset * size
    self.shape = dims.map(\.count)
    self.strides = dims.map(\.stride)
  }

  /// The strides of a shape in row-major order.
  static func rowStrides(_ shape: [Int]) -> [Int] { fortranStrides(shape.reversed()).reversed() }

  /// The strides of a shape in column-major order.
  static func fortranStrides(_ shape: [Int]) -> [Int] {
    var stride = 1
    return shape.map { dim in
      defer { stride = CheckedSize.product(stride, max(dim, 1)) ?? .max }
      return stride
    }
  }

  /// The elements as they lie in the window; nil where they have to be moved or swapped.
  var window: Bytes? {
    guard byteCount > 0 else { return Bytes([]) }
    guard shape.isEmpty || shape.count == 1 && strides[0] == 1, !isBigEndian || partByteCount == 1 else { return nil }
    return bytes[byteOffset..<(byteOffset + byteCount)]
  }

  /// Gives all bytes in order: as one window, or in pieces of at most 1 MB.
  func forEachPiece(_ body: (Bytes) throws -> Void) throws {
    if let window { return try body(window) }
    // Blocks of the innermost dimensions, as many as fit into a piece, and the runs of blocks along the one before.
    var first = shape.count
    var blockCount = 1
    while first > 0, shape.count - first < StridedArray.blockRank - 1,
      blockCount * shape[first - 1] <= StridedArray.pieceSize / partByteCount
    {
      first -= 1
      blockCount *= shape[first]
    }
    let blockByteCount = blockCount * partByteCount
    let runCount = first > 0 ? shape[first - 1] : 1
    let runLimit = max(1, StridedArray.pieceSize / blockByteCount)
    let outer = shape.prefix(max(first - 1, 0))
    var index = [Int](repeating: 0, count: outer.count)
    let buffer = HeapMemory(byteCount: min(StridedArray.pieceSize, byteCount))
    var (filled, touched) = (0, 0)
    func flush() throws {
      try Interrupt.check()
      if isBigEndian { swapBytes(UnsafeMutableRawBufferPointer(start: buffer.base, count: filled), of: partByteCount) }
      try body(Bytes(UnsafeRawBufferPointer(start: buffer.base, count: filled)))
      filled = 0
    }
    while true {
      let base = zip(index, strides).reduce(0) { $0 + $1.0 * $1.1 }
      var run = 0
      while run < runCount {
        if buffer.byteCount - filled < blockByteCount { try flush() }
        let count = min(runCount - run, (buffer.byteCount - filled) / blockByteCount, runLimit)
        let start = base + (first > 0 ? run * strides[first - 1] : 0)
        copy(first, runs: count, at: start, to: buffer.base + filled)
        run += count
        filled += count * blockByteCount
        touched += min(count * blockCount * 4096, bytes.count)
        if touched >= StridedArray.residentByteCount {
          bytes.releasePages()
          touched = 0
        }
      }
      guard let k = index.indices.last(where: { index[$0] + 1 < outer[$0] }) else { break }
      index[k] += 1
      for j in (k + 1)..<index.count { index[j] = 0 }
    }
    try flush()
    bytes.releasePages()
  }

  /// Copies blocks that start at a part of the array; `first` is the first dimension of a block.
  private func copy(_ first: Int, runs: Int, at start: Int, to target: UnsafeMutableRawPointer) {
    let shape = (first > 0 ? [runs] : []) + self.shape[first...]
    let from = (first > 0 ? [strides[first - 1]] : []) + strides[first...]
    var to = [Int](repeating: 1, count: shape.count)
    for k in shape.indices.dropLast().reversed() { to[k] = to[k + 1] * shape[k + 1] }
    bytes.withUnsafeBytes { raw in
      guard let base = raw.baseAddress else { return }
      // init has checked that every element lies inside the window.
      copyStrided(
        elementByteCount: partByteCount, shape: shape, to: target, to,
        from: base + byteOffset + start * partByteCount, from)
    }
  }
}

extension StridedArray {
  /// A tensor of a checkpoint with these elements.
  func entry(_ name: TensorName, _ dtype: DType, shape: [Int], file: String) -> TensorStore.Entry {
    if let window { return TensorStore.Entry(name, dtype, shape: shape, file: file) { window } }
    return TensorStore.Entry(name, dtype, shape: shape, file: file) { try forEachPiece($0) }
  }
}

/// Turns the bytes of each part of `partByteCount` bytes around; the buffer is aligned for them.
func swapBytes(_ buffer: UnsafeMutableRawBufferPointer, of partByteCount: Int) {
  func each<I: FixedWidthInteger>(_ type: I.Type) {
    let parts = buffer.bindMemory(to: type)
    for index in parts.indices { parts[index] = parts[index].byteSwapped }
  }
  switch partByteCount {
  case 2: each(UInt16.self)
  case 4: each(UInt32.self)
  case 8: each(UInt64.self)
  default: break
  }
}
