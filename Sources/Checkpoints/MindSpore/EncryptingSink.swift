internal import Tensors

/// Encrypts what is written to it, block by block, see ``EncryptedFile``, and passes it on.
///
/// Blocks are smaller than those that MindSpore writes, as the tag of one stands before its ciphertext; MindSpore reads
/// blocks of any size. Their vectors are random, so the same input never gives the same bytes.
final class EncryptingSink: ByteSink {
  /// Plaintext of a block.
  static let blockByteCount = 4 << 20

  private let encryption: Encryption
  private let sink: any ByteSink
  private var block: [UInt8] = []
  private(set) var position = 0

  init(_ encryption: Encryption, _ sink: any ByteSink) {
    self.encryption = encryption
    self.sink = sink
    block.reserveCapacity(EncryptingSink.blockByteCount + Cipher.blockByteCount)
  }

  /// The bytes that a plaintext takes when it is encrypted; nil when they are too many.
  static func byteCount(of plainByteCount: Int, _ mode: CipherMode) -> Int? {
    let (whole, rest) = plainByteCount.quotientAndRemainder(dividingBy: blockByteCount)
    return CheckedSize.product(whole, blockSize(blockByteCount, mode)).flatMap {
      CheckedSize.sum($0, rest > 0 ? blockSize(rest, mode) : 0)
    }
  }

  private static func blockSize(_ plainByteCount: Int, _ mode: CipherMode) -> Int {
    let size = Cipher.blockByteCount
    return mode == .aesGCM ? 48 + plainByteCount : 32 + (plainByteCount / size + 1) * size
  }

  func write(_ bytes: UnsafeRawBufferPointer) throws {
    var done = 0
    while done < bytes.count {
      let count = min(EncryptingSink.blockByteCount - block.count, bytes.count - done)
      block.append(contentsOf: UnsafeRawBufferPointer(rebasing: bytes[done..<(done + count)]))
      done += count
      position += count
      if block.count == EncryptingSink.blockByteCount { try flush() }
    }
  }

  /// Writes the last block.
  func finish() throws { if !block.isEmpty { try flush() } }

  private func flush() throws {
    let vector = try Cipher.random(EncryptedFile.vectorByteCount)
    let mode = encryption.mode
    let kind = Cipher.Kind(mode)
    if kind != .gcm {
      let padding = Cipher.blockByteCount - block.count % Cipher.blockByteCount
      block.append(contentsOf: repeatElement(UInt8(padding), count: padding))
    }
    let cipher = try Cipher(
      kind, encryption.key, vector: kind == .gcm ? Array(vector.prefix(Cipher.nonceByteCount)) : vector, encrypts: true)
    // In place, which libcrypto allows.
    try block.withUnsafeMutableBytes { try cipher.update(UnsafeRawBufferPointer($0), into: $0) }
    func number(_ value: UInt32) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) } }
    try sink.write(number(mode.mark) + (kind == .gcm ? try cipher.tag() : []))
    try sink.write(number(UInt32(block.count) + 24) + number(UInt32(vector.count)) + vector)
    try sink.write(number(UInt32(block.count)))
    try sink.write(block)
    block.removeAll(keepingCapacity: true)
  }
}
