import Dispatch
import IR
import Tensors

/// Weights as independent zstd frames: `weights.bsz`, and `weights.bsz.json` which says what is where.
///
/// `weights.bsz` starts with 64 bytes, `BESSEMER WEIGHTS 1` and zeros; the frames follow without a gap, tensor after
/// tensor. Each frame is a piece of the tensor's bytes in its layout, with its byte planes split, see ``ZstdFrame``.
/// The index lists for each tensor `name`, `dtype`, `shape`, `layout`, `piece` (the bytes of every frame's content but
/// the last) and `frames` (the bytes that each frame takes in the file).
enum CompressedWeights {
  static let version = 1
  static let head: [UInt8] = {
    let text = Array("BESSEMER WEIGHTS 1".utf8)
    return text + [UInt8](repeating: 0, count: 64 - text.count)
  }()
  /// Bytes of a frame's content.
  static let maximumPieceByteCount = 16 << 20

  /// Memory for one frame: content, content with planes split, frame.
  final class Slot {
    let compressor: ZstdCompressor
    var content = GrowingMemory()
    var planes = GrowingMemory()
    var frame = GrowingMemory()
    var frameByteCount = 0
    var losses = CastLosses()

    init() throws { compressor = try ZstdCompressor() }
  }

  /// Writes all tensors; returns the text of the index. `note` gets each tensor's losses, `progress` the bytes of
  /// content.
  static func write(
    _ tensors: [StoredTensor], to sink: any ByteSink, threads: Int, progress: (StoredTensor, Int) -> Void,
    note: (StoredTensor, CastLosses) -> Void
  ) throws -> [UInt8] {
    let pipeline = try OrderedPipeline(threads: threads) { try Slot() }
    try sink.write(head)
    var frames: [[Int]] = []
    for tensor in tensors {
      var sizes: [Int] = []
      var losses = CastLosses()
      let existing = try tensor.existing()
      try pipeline.run(tensor.pieceCount) { index, slot in
        try compress(tensor, index, existing, slot)
      } consume: { index, slot in
        sizes.append(slot.frameByteCount)
        losses += slot.losses
        try sink.write(UnsafeRawBufferPointer(slot.frame.buffer(slot.frameByteCount)))
        progress(tensor, tensor.byteCount(ofPiece: index))
      }
      frames.append(sizes)
      note(tensor, losses)
      tensor.reader.forget()
    }
    return index(tensors, frames)
  }

  private static func compress(_ tensor: StoredTensor, _ index: Int, _ existing: Bytes?, _ slot: Slot) throws {
    let size = tensor.byteCount(ofPiece: index)
    let planes = try slot.planes.reserve(size)
    slot.losses = CastLosses()
    let count = ZstdFrame.planeCount(tensor.dtype)
    if let existing {
      let start = index * tensor.pieceByteCount
      existing[start..<(start + size)].withUnsafeBytes { ZstdFrame.split($0, planes: count, into: planes) }
    } else {
      let content = try slot.content.reserve(size)
      // The planes' memory serves as scratch before it is filled.
      let scratch = try slot.planes.reserve(max(size, tensor.pieceByteCount))
      try tensor.write(piece: index, to: content, scratch: scratch, losses: &slot.losses)
      ZstdFrame.split(UnsafeRawBufferPointer(content), planes: count, into: slot.planes.buffer(size))
    }
    let frame = try slot.frame.reserve(ZstdFrame.bound(size))
    slot.frameByteCount = try slot.compressor.compress(UnsafeRawBufferPointer(slot.planes.buffer(size)), into: frame)
  }

  private static func index(_ tensors: [StoredTensor], _ frames: [[Int]]) -> [UInt8] {
    var json = JSONWriter()
    json.object { json in
      json.member("version", version)
      json.array("tensors") { json in
        for (tensor, sizes) in zip(tensors, frames) {
          json.object { json in
            json.member("name", tensor.name.string)
            json.member("dtype", tensor.dtype.rawValue)
            json.array("shape", tensor.shape)
            json.member("layout", tensor.layout.rawValue)
            json.member("piece", tensor.pieceByteCount)
            json.array("frames", sizes)
          }
        }
      }
    }
    return json.utf8 + [UInt8(ascii: "\n")]
  }
}

/// Memory that grows to what was asked for last and is used again.
struct GrowingMemory {
  private var memory: HeapMemory?

  /// At least `byteCount` bytes, of which the buffer shows exactly that many. What was in them before may be gone.
  mutating func reserve(_ byteCount: Int) throws -> UnsafeMutableRawBufferPointer {
    if memory == nil || memory!.byteCount < byteCount {
      memory = nil
      guard let larger = HeapMemory(checkedByteCount: byteCount) else {
        throw BessemerError(.memory, "cannot allocate \(byteCount) bytes")
      }
      memory = larger
    }
    return buffer(byteCount)
  }

  /// The first `byteCount` bytes of what is reserved, valid until the next ``reserve(_:)``.
  func buffer(_ byteCount: Int) -> UnsafeMutableRawBufferPointer {
    precondition(byteCount <= memory?.byteCount ?? 0)
    return UnsafeMutableRawBufferPointer(start: memory?.base, count: byteCount)
  }
}
