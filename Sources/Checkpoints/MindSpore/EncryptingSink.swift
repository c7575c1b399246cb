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
  /// The block that is being filled, with room for its padding, and how far it is.
  private let block: HeapMemory
  private var filled = 0
  private(set) var position = 0

  init(_ encryption: Encryption, _ sink: any ByteSink) throws {
    self.encryption = encryption
    self.sink = sink
    let size = EncryptingSink.blockByteCount + Cipher.blockByteCount
    guard let block = HeapMemory(checkedByteCount: size) else {
      throw BessemerError(.memory, "cannot allocate \(size) bytes")
    }
    self.block = block
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
    // The bytes stay valid during the call.
    try write(Bytes(owner: nil, base: bytes.baseAddress, count: bytes.count))
  }

  /// Windows of files are read by descriptor.
  func write(_ bytes: Bytes) throws {
    var done = 0
    while done < bytes.count {
      try Interrupt.check()
      let count = min(EncryptingSink.blockByteCount - filled, bytes.count - done)
      try bytes[done..<(done + count)].read(into: block.base + filled)
      done += count
      filled += count
      position += count
      if filled == EncryptingSink.blockByteCount { try flush() }
    }
  }

  /// Writes the last block.
  func finish() throws { if filled > 0 { try flush() } }

  private func flush() throws {
    let vector = try Cipher.random(EncryptedFile.vectorByteCount)
    let mode = encryption.mode
    let kind = Cipher.Kind(mode)
    if kind != .gcm {
      let padding = Cipher.blockByteCount - filled % Cipher.blockByteCount
      (block.base + filled).initializeMemory(as: UInt8.self, repeating: UInt8(padding), count: padding)
      filled += padding
    }
    let cipher = try Cipher(
      kind, encryption.key, vector: kind == .gcm ? Array(vector.prefix(Cipher.nonceByteCount)) : vector, encrypts: true)
    // In place, which libcrypto allows.
    let bytes = UnsafeMutableRawBufferPointer(start: block.base, count: filled)
    try cipher.update(UnsafeRawBufferPointer(bytes), into: bytes)
    func number(_ value: UInt32) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) } }
    try sink.write(number(mode.mark) + (kind == .gcm ? try cipher.tag() : []))
    try sink.write(number(UInt32(filled) + 24) + number(UInt32(vector.count)) + vector)
    try sink.write(number(UInt32(filled)))
    try sink.write(UnsafeRawBufferPointer(bytes))
    filled = 0
  }
}
