import Digests
import Tensors

/// Passes bytes on to a sink and computes their digest.
final class HashingSink: ByteSink {
  private let sink: any ByteSink
  private let hash = SHA256()
  private let progress: (Int) -> Void

  init(_ sink: any ByteSink, progress: @escaping (Int) -> Void = { _ in }) {
    self.sink = sink
    self.progress = progress
  }

  var position: Int { sink.position }

  func write(_ bytes: UnsafeRawBufferPointer) throws {
    hash.update(bytes)
    try sink.write(bytes)
    progress(bytes.count)
  }

  func write(_ bytes: Bytes) throws {
    // In parts, so that what was just hashed is copied while it is in the cache.
    for start in stride(from: 0, to: bytes.count, by: 1 << 23) {
      try Interrupt.check()
      let piece = bytes[start..<min(bytes.count, start + 1 << 23)]
      piece.withUnsafeBytes { hash.update($0) }
      try sink.write(piece)
      piece.releasePages()
      progress(piece.count)
    }
  }

  /// The digest of everything written.
  func finish() -> Digest { hash.finish() }
}
