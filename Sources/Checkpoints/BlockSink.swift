internal import Synchronization
internal import Tensors

/// Takes the bytes of float32 numbers and passes them on in blocks of an encoding, which several threads make.
final class BlockSink: ByteSink {
  private let type: BlockType
  private let sink: any ByteSink
  private let floats: HeapMemory
  private let blocks: HeapMemory
  private var filled = 0
  /// Blocks that do not hold their numbers, see ``BlockType/encode(_:to:)``.
  private var badCount = 0
  private(set) var position = 0

  /// Bytes of numbers that are encoded at a time: whole blocks of every encoding.
  private static let pieceByteCount = 1 << 20
  /// Parts of a piece, for as many threads.
  private static let partCount = 16

  init(_ type: BlockType, to sink: any ByteSink) throws {
    guard let floats = HeapMemory(checkedByteCount: BlockSink.pieceByteCount),
      let blocks = HeapMemory(checkedByteCount: BlockSink.pieceByteCount / 4 / type.elementCount * type.byteCount)
    else { throw BessemerError(.memory, "no memory to encode a tensor") }
    self.type = type
    self.sink = sink
    self.floats = floats
    self.blocks = blocks
  }

  func write(_ bytes: UnsafeRawBufferPointer) throws {
    var done = 0
    while done < bytes.count {
      let count = min(bytes.count - done, floats.byteCount - filled)
      // There is room for `count` bytes behind what is filled.
      UnsafeMutableRawBufferPointer(start: floats.base + filled, count: count)
        .copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[done..<(done + count)]))
      done += count
      filled += count
      position += count
      if filled == floats.byteCount { try encode() }
    }
  }

  /// Encodes what is left; throws ``ErrorCode/unsupportedType`` when numbers of the tensor were lost.
  func finish(_ name: TensorName) throws {
    try encode()
    guard badCount > 0 else { return }
    throw BessemerError(
      .unsupportedType,
      "tensor \(quoted(name.string)) cannot be encoded as \(type.rawValue): \(badCount) blocks have numbers that are "
        + "not finite, or too large")
  }

  private func encode() throws {
    let count = filled / 4 / type.elementCount
    let part = (count + BlockSink.partCount - 1) / BlockSink.partCount
    let bad = Mutex(0)
    let (type, input, output) = (type, floats.base, blocks.base)
    if part > 0 {
      try parallel((count + part - 1) / part) { index in
        let (first, size) = (index * part, min(part, count - index * part))
        // Parts do not overlap, and lie inside both memories.
        let numbers = UnsafeRawBufferPointer(
          start: input + first * type.elementCount * 4, count: size * type.elementCount * 4)
        let target = UnsafeMutableRawBufferPointer(
          start: output + first * type.byteCount, count: size * type.byteCount)
        let lost = type.encode(numbers, to: target)
        if lost > 0 { bad.withLock { $0 += lost } }
      }
    }
    badCount += bad.withLock { $0 }
    filled = 0
    try sink.write(UnsafeRawBufferPointer(start: blocks.base, count: count * type.byteCount))
  }
}
