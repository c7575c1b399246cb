internal import CZlib
internal import Tensors

/// The checksum of zip archives and MindSpore checkpoints: CRC-32 with the polynomial 0xEDB88320.
struct CRC32 {
  private var state: UInt = 0

  var value: UInt32 { UInt32(truncatingIfNeeded: state) }

  mutating func update(_ bytes: UnsafeRawBufferPointer) {
    guard let base = bytes.baseAddress else { return }
    // zlib reads exactly the bytes of the buffer.
    state = crc32_z(state, base.assumingMemoryBound(to: UInt8.self), bytes.count)
  }

  /// Adds the bytes of a name.
  mutating func update(name: TensorName) { Array(name.string.utf8).withUnsafeBytes { update($0) } }

  /// Adds bytes that may be a large window of a mapped file, whose memory is given back as it goes.
  mutating func update(_ bytes: Bytes) throws {
    for start in stride(from: 0, to: bytes.count, by: 16 << 20) {
      try Interrupt.check()
      let piece = bytes[start..<min(bytes.count, start + 16 << 20)]
      piece.withUnsafeBytes { update($0) }
      piece.releasePages()
    }
  }
}

/// Passes bytes on to another sink and sums them up.
final class ChecksumSink: ByteSink {
  private let sink: any ByteSink
  private(set) var crc = CRC32()

  init(_ sink: any ByteSink) { self.sink = sink }

  var position: Int { sink.position }

  func write(_ bytes: UnsafeRawBufferPointer) throws {
    crc.update(bytes)
    try sink.write(bytes)
  }

  func write(_ bytes: Bytes) throws {
    try crc.update(bytes)
    try sink.write(bytes)
  }
}
