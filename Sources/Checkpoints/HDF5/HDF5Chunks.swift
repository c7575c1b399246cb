internal import Tensors

/// Puts the chunks of a dataset together in row-major order, block by block, with memory that depends on neither.
///
/// libhdf5 says where chunks stand; they are unpacked here, so that what is damaged ends in an error and nothing else.
struct HDF5Chunks: Sendable {
  private let file: Bytes
  private let shape: [Int]
  private let chunkShape: [Int]
  private let elementByteCount: Int
  private let filters: [HDF5Filter]
  /// The stored chunks by place.
  private let chunks: [Int: HDF5Dataset.Chunk]
  private let fill: [UInt8]

  /// Bytes that are put together before they are handed on.
  private static let blockByteCount = 32 << 20
  /// Bytes that may be unpacked for each byte of the tensor, and in any case.
  private static let workFactor = 16
  private static let freeWorkByteCount = 1 << 30

  /// Throws ``ErrorCode/tensorLayout`` when chunks lie outside the file or do not fit, ``ErrorCode/limit`` when they
  /// are too large, or cut so that they would have to be unpacked over and over.
  init(
    _ dataset: HDF5Dataset, _ chunkShape: [Int], _ filters: [HDF5Filter], _ chunks: [HDF5Dataset.Chunk], _ file: Bytes
  ) throws {
    self.file = file
    shape = dataset.shape
    self.chunkShape = chunkShape
    elementByteCount = dataset.dtype.bits / 8
    self.filters = filters
    fill = dataset.fill
    guard shape.count == chunkShape.count, !shape.isEmpty, chunkShape.allSatisfy({ $0 > 0 }),
      let byteCount = Tensor.byteCount(dataset.dtype, shape: chunkShape)
    else { throw BessemerError(.tensorLayout, "chunks of the shape \(chunkShape) do not fit \(shape)") }
    guard byteCount <= HDF5Walker.maximumChunkByteCount else {
      throw BessemerError(
        .limit,
        "a chunk of \(byteCount) bytes, at most \(HDF5Walker.maximumChunkByteCount) are read; repack it in smaller ones"
      )
    }
    guard filters.filter({ $0 == .deflate }).count <= 1 else {
      throw BessemerError(.unsupportedFeature, "chunks are packed more than once")
    }
    var stored: [Int: HDF5Dataset.Chunk] = [:]
    for chunk in chunks {
      guard let end = CheckedSize.sum(chunk.byteOffset, chunk.byteCount), end <= file.count,
        stored.updateValue(chunk, forKey: chunk.index) == nil
      else { throw BessemerError(.tensorLayout, "a chunk at byte \(chunk.byteOffset) lies outside the file") }
    }
    self.chunks = stored
    try checkWork(chunkByteCount: byteCount)
  }

  private var chunkByteCount: Int { chunkShape.reduce(elementByteCount, *) }
  private var grid: [Int] { zip(shape, chunkShape).map { ($0 - 1) / $1 + 1 } }

  /// The dimension that blocks cut, and how many of its steps a block has; all dimensions behind it are whole.
  private var cut: (axis: Int, count: Int) {
    var axis = shape.count - 1
    var inner = elementByteCount
    while axis > 0, inner * shape[axis] <= HDF5Chunks.blockByteCount {
      inner *= shape[axis]
      axis -= 1
    }
    let count = min(shape[axis], max(1, HDF5Chunks.blockByteCount / inner))
    // Whole chunks, where a block has room for them.
    return (axis, count >= chunkShape[axis] ? count / chunkShape[axis] * chunkShape[axis] : count)
  }

  /// Bytes that are unpacked, where each chunk is unpacked once for each block that it touches.
  private func checkWork(chunkByteCount: Int) throws {
    let (axis, count) = cut
    var times = 1
    for k in 0..<axis { times *= min(chunkShape[k], shape[k]) }
    times *= count % chunkShape[axis] == 0 || count == shape[axis] ? 1 : (chunkShape[axis] - 1) / count + 2
    let total = shape.reduce(elementByteCount, *)
    guard !filters.isEmpty, times > HDF5Chunks.workFactor, total / HDF5Chunks.workFactor > 0,
      times > HDF5Chunks.freeWorkByteCount / max(1, total)
    else { return }
    throw BessemerError(
      .limit, "chunks of the shape \(chunkShape) would have to be unpacked \(times) times; repack it in other chunks")
  }

  /// Gives all bytes in order, in blocks; an element is never cut in two.
  func forEachBlock(_ body: (UnsafeMutableRawBufferPointer) throws -> Void) throws {
    let (axis, count) = cut
    let outer = Array(shape[..<axis])
    let inner = shape[(axis + 1)...].reduce(elementByteCount, *)
    let memory = HeapMemory(byteCount: count * inner)
    var chunk = Unpacked()
    var first = [Int](repeating: 0, count: shape.count)
    repeat {
      for start in stride(from: 0, to: shape[axis], by: count) {
        try Interrupt.check()
        first[axis] = start
        var size = shape
        for k in 0..<axis { size[k] = 1 }
        size[axis] = min(count, shape[axis] - start)
        let block = UnsafeMutableRawBufferPointer(start: memory.base, count: size[axis] * inner)
        try assemble(first, size, block, &chunk)
        try body(block)
      }
    } while advance(&first, outer)
  }

  /// The next index of the first dimensions; false after the last.
  private func advance(_ index: inout [Int], _ limits: [Int]) -> Bool {
    for k in limits.indices.reversed() {
      index[k] += 1
      if index[k] < limits[k] { return true }
      index[k] = 0
    }
    return false
  }

  /// Copies the parts of all chunks that lie in a box of the tensor, which is a run of its elements.
  private func assemble(
    _ first: [Int], _ size: [Int], _ target: UnsafeMutableRawBufferPointer, _ unpacked: inout Unpacked
  ) throws {
    let low = zip(first, chunkShape).map { $0 / $1 }
    let counts = shape.indices.map { (first[$0] + size[$0] - 1) / chunkShape[$0] - low[$0] + 1 }
    let places = StridedArray.rowStrides(grid)
    var step = [Int](repeating: 0, count: shape.count)
    repeat {
      let position = zip(low, step).map { $0 + $1 }
      let index = zip(position, places).reduce(0) { $0 + $1.0 * $1.1 }
      if unpacked.index != index { unpacked = try unpack(index) }
      copy(unpacked, position, to: target, first, size)
    } while advance(&step, counts)
  }

  // MARK: One chunk

  /// A chunk as it is before packing, but for the order of its bytes.
  private struct Unpacked {
    var index = -1
    /// Nil for a chunk that was never written.
    var bytes: Bytes?
    /// Whether the bytes are sorted by their place in the element.
    var isShuffled = false
  }

  private func unpack(_ index: Int) throws -> Unpacked {
    guard let chunk = chunks[index] else { return Unpacked(index: index, bytes: nil) }
    func refuse(_ what: String) -> BessemerError {
      BessemerError(.tensorLayout, "the chunk at byte \(chunk.byteOffset) \(what)")
    }
    let applied = filters.indices.filter { chunk.skippedFilters & 1 << UInt32($0) == 0 }.map { filters[$0] }
    var bytes = file[chunk.byteOffset..<(chunk.byteOffset + chunk.byteCount)]
    var isShuffled = false
    for (place, filter) in applied.enumerated().reversed() {
      switch filter {
      case .fletcher32:
        guard bytes.count >= 4 else { throw refuse("lacks its checksum") }
        let content = bytes[0..<(bytes.count - 4)]
        var reader = ByteReader(bytes[(bytes.count - 4)..<bytes.count])
        guard try reader.integer(UInt32.self, "a checksum") == HDF5Chunks.fletcher32(content) else {
          throw BessemerError(.digest, "the chunk at byte \(chunk.byteOffset) does not have the checksum that it says")
        }
        bytes = content
      case .deflate:
        // Checksums that were added before packing are in what is unpacked.
        let size = chunkByteCount + 4 * applied[..<place].filter { $0 == .fletcher32 }.count
        let packed = bytes
        bytes = try Bytes(byteCount: size) { target in
          var position = 0
          try Inflate.forEachPiece(of: packed, .zlib, byteCount: size) { piece in
            UnsafeMutableRawBufferPointer(rebasing: target[position...]).copyMemory(from: piece)
            position += piece.count
            return true
          }
        }
      case .shuffle(let size):
        guard size == elementByteCount, !isShuffled else { throw refuse("is shuffled by another element size") }
        isShuffled = size > 1
      }
      // Only the bytes of one element each are sorted; a checksum behind them would be sorted too.
      guard !isShuffled || !applied[..<place].contains(where: { $0 == .fletcher32 || $0 == .deflate }) else {
        throw BessemerError(.unsupportedFeature, "filters are applied in an unusual order")
      }
    }
    guard bytes.count == chunkByteCount else { throw refuse("has \(bytes.count) bytes, expected \(chunkByteCount)") }
    return Unpacked(index: index, bytes: bytes, isShuffled: isShuffled)
  }

  /// Copies what a chunk and a box have in common, row by row.
  private func copy(
    _ chunk: Unpacked, _ position: [Int], to target: UnsafeMutableRawBufferPointer, _ first: [Int], _ size: [Int]
  ) {
    let start = zip(position, chunkShape).map { $0 * $1 }
    let low = shape.indices.map { max(start[$0], first[$0]) }
    let counts = shape.indices.map { min(start[$0] + chunkShape[$0], first[$0] + size[$0]) - low[$0] }
    let (from, to) = (StridedArray.rowStrides(chunkShape), StridedArray.rowStrides(size))
    let run = counts[shape.count - 1]
    let e = elementByteCount
    guard let base = target.baseAddress else { return }
    var row = [Int](repeating: 0, count: shape.count)
    repeat {
      var (source, place) = (0, 0)
      for k in shape.indices {
        source += (low[k] + row[k] - start[k]) * from[k]
        place += (low[k] + row[k] - first[k]) * to[k]
      }
      let output = base + place * e
      guard let bytes = chunk.bytes else {
        for k in 0..<run { (output + k * e).copyMemory(from: fill, byteCount: e) }
        continue
      }
      bytes.withUnsafeBytes { raw in
        guard let input = raw.baseAddress else { return }
        // The run lies inside the chunk and inside the box: both were intersected above.
        if chunk.isShuffled {
          copyStrided(
            elementByteCount: 1, shape: [run, e], to: output, [e, 1], from: input + source, [1, raw.count / e])
        } else {
          output.copyMemory(from: input + source * e, byteCount: run * e)
        }
      }
    } while advance(&row, Array(counts.dropLast()))
    chunk.bytes?.releasePages()
  }

  /// The checksum of HDF5: Fletcher's over pairs of bytes, the first one high.
  static func fletcher32(_ bytes: Bytes) -> UInt32 {
    var (low, high) = (UInt32(0), UInt32(0))
    bytes.withUnsafeBytes { raw in
      for start in stride(from: 0, to: raw.count, by: 720) {
        for k in stride(from: start, to: min(start + 720, raw.count), by: 2) {
          low &+= UInt32(raw[k]) << 8 | (k + 1 < raw.count ? UInt32(raw[k + 1]) : 0)
          high &+= low
        }
        low = low & 0xFFFF &+ low >> 16
        high = high & 0xFFFF &+ high >> 16
      }
    }
    low = low & 0xFFFF &+ low >> 16
    high = high & 0xFFFF &+ high >> 16
    return high << 16 | low
  }
}
