internal import Synchronization
internal import Tensors

/// The plaintext of an encrypted checkpoint, decrypted where it is asked for.
///
/// The file is a sequence of blocks, each encrypted by itself: a mark that tells the mode, for AES-GCM a tag of 16
/// bytes, then as 32-bit numbers the length of what follows, the length of the vector, the vector of 16 bytes, the
/// length of the ciphertext, and the ciphertext. AES-GCM takes 12 bytes of the vector; the other modes pad to whole
/// cipher blocks as PKCS #7 says. Old versions wrote AES-GCM without a tag and AES-CBC, both under the mark of AES-GCM.
///
/// A block of AES-GCM is authenticated before the first byte of it is given out. The other modes have nothing to do
/// that with; of them the padding of all blocks is checked.
final class EncryptedFile: RecordSource {
  private struct Block {
    /// Offset of the ciphertext in the file, which goes to the next block's header.
    let offset: Int
    let byteCount: Int
    let plain: Range<Int>
  }

  private let file: MappedFile
  private let key: CipherKey
  private let kind: Cipher.Kind
  private let hasTags: Bool
  private let blocks: [Block]
  /// The blocks that were found authentic.
  private let authentic: Mutex<[Bool]>

  var count: Int { blocks.last?.plain.upperBound ?? 0 }

  /// Blocks of a file; those of MindSpore have 64 MiB.
  static let maximumBlockCount = 1_000_000
  static let vectorByteCount = 16
  /// Plaintext that is given out at once.
  private static let pieceByteCount = 256 << 10

  /// Reads what describes the blocks. Throws ``ErrorCode/key`` when the key cannot be right.
  static func open(_ input: InputFile, mode: CipherMode, key: CipherKey) throws -> EncryptedFile {
    _ = try Encryption(mode, key)
    guard try mode == .aesGCM && lacksTags(input) else {
      return try EncryptedFile(input, mode, Cipher.Kind(mode), key, hasTags: mode == .aesGCM)
    }
    let chained = try? EncryptedFile(input, mode, .cbc, key, hasTags: false)
    return try chained ?? EncryptedFile(input, mode, .gcm, key, hasTags: false)
  }

  private init(
    _ input: InputFile, _ mode: CipherMode, _ kind: Cipher.Kind, _ key: CipherKey, hasTags: Bool
  ) throws {
    self.kind = kind
    self.key = key
    self.hasTags = hasTags
    file = try input.map()
    blocks = try EncryptedFile.blocks(input, mark: mode.mark, kind, key, hasTags: hasTags)
    authentic = Mutex(Array(repeating: !hasTags, count: blocks.count))
    let start = try bytes(0..<min(count, 512)).array
    guard MindSporeCheckpoint.startsRecord(start) else { throw EncryptedFile.wrongKey }
  }

  func bytes(_ range: Range<Int>) throws -> Bytes {
    try Bytes(byteCount: range.count) { target in
      if let base = target.baseAddress { try read(range, into: base) }
    }
  }

  func forEachPiece(_ range: Range<Int>, _ body: (Bytes) throws -> Void) throws {
    var position = range.lowerBound
    var index = firstBlock(after: position)
    while position < range.upperBound {
      let block = blocks[index]
      try authenticate(index)
      while position < min(range.upperBound, block.plain.upperBound) {
        try Interrupt.check()
        let end = min(range.upperBound, block.plain.upperBound, position + EncryptedFile.pieceByteCount)
        let start = block.plain.lowerBound
        try body(decrypted(block, (position - start)..<(end - start)))
        position = end
      }
      index += 1
    }
  }

  /// The block that holds the byte at `position`.
  private func firstBlock(after position: Int) -> Int {
    var (low, high) = (0, blocks.count)
    while low < high {
      let middle = (low + high) / 2
      if blocks[middle].plain.upperBound <= position { low = middle + 1 } else { high = middle }
    }
    return low
  }

  /// A part of a block, found without what stands before it: counters are known, and chains start from the
  /// ciphertext before.
  private func decrypted(_ block: Block, _ range: Range<Int>) throws -> Bytes {
    let size = Cipher.blockByteCount
    let first = range.lowerBound / size * size
    let end = kind == .gcm ? range.upperBound : (range.upperBound + size - 1) / size * size
    let cipher =
      kind == .gcm
      ? try Cipher(.counter, key, vector: counter(block, at: first / size), encrypts: false)
      : try Cipher(kind, key, vector: vector(block, before: first), encrypts: false)
    let bytes = try Bytes(byteCount: end - first) { target in
      try cipher.update(file[(block.offset + first)..<(block.offset + end)], inPlaceOf: target)
    }
    return bytes[(range.lowerBound - first)..<(range.upperBound - first)]
  }

  /// The vector of a block; beyond its start the 16 bytes of ciphertext before `position`, which a chain goes on from.
  private func vector(_ block: Block, before position: Int) throws -> [UInt8] {
    try read(EncryptedFile.vectorByteCount, before: position > 0 ? block.offset + position : block.offset - 4)
  }

  private func nonce(_ block: Block) throws -> [UInt8] {
    try Array(vector(block, before: 0).prefix(Cipher.nonceByteCount))
  }

  /// The `count` bytes of the file before `end`, read by descriptor as all that is read of a large file.
  private func read(_ count: Int, before end: Int) throws -> [UInt8] {
    try [UInt8](unsafeUninitializedCapacity: count) { target, initialized in
      if let base = target.baseAddress { try file[(end - count)..<end].read(into: base) }
      initialized = count
    }
  }

  /// What AES-GCM encrypts the cipher block `index` of a block with: the nonce and a big-endian number, which starts
  /// at 2 and fits, as a block has less than 2^31 bytes.
  private func counter(_ block: Block, at index: Int) throws -> [UInt8] {
    try nonce(block) + (0..<4).map { UInt8(truncatingIfNeeded: (index + 2) >> (24 - 8 * $0)) }
  }

  /// Throws unless the tag of a block fits, which is found out once.
  private func authenticate(_ index: Int) throws {
    guard !authentic.withLock({ $0[index] }) else { return }
    let block = blocks[index]
    let cipher = try Cipher(.gcm, key, vector: nonce(block), encrypts: false)
    var scratch = [UInt8](repeating: 0, count: EncryptedFile.pieceByteCount)
    for start in stride(from: 0, to: block.byteCount, by: scratch.count) {
      try Interrupt.check()
      let end = min(block.byteCount, start + scratch.count)
      try scratch.withUnsafeMutableBytes { scratch in
        try cipher.update(file[(block.offset + start)..<(block.offset + end)], inPlaceOf: scratch)
      }
    }
    let tagEnd = block.offset - 12 - EncryptedFile.vectorByteCount
    guard try cipher.accepts(tag: read(Cipher.tagByteCount, before: tagEnd)) else {
      guard index > 0 else { throw EncryptedFile.wrongKey }
      throw BessemerError(.digest, "the encrypted block at byte \(block.offset) is damaged: its tag does not fit")
    }
    authentic.withLock { $0[index] = true }
  }

  private static let wrongKey = BessemerError(.key, "does not decrypt with this key, or is damaged")
}

extension EncryptedFile {
  /// Bytes of a block's header before its tag, if it has one, and after it.
  private static let markByteCount = 4
  private static let fieldsByteCount = 4 + 4 + vectorByteCount + 4

  /// Whether a file that starts with the mark of AES-GCM has its fields where there would be a tag.
  private static func lacksTags(_ file: InputFile) throws -> Bool {
    guard file.byteCount >= markByteCount + fieldsByteCount else { return false }
    var reader = ByteReader(try file.read(at: markByteCount, count: fieldsByteCount))
    let blockByteCount = try reader.integer(Int32.self, "a length")
    guard try reader.integer(Int32.self, "a length") == Int32(vectorByteCount) else { return false }
    _ = try reader.take(vectorByteCount, "a vector")
    return Int64(blockByteCount) == Int64(try reader.integer(Int32.self, "a length")) + 24
  }

  /// All blocks of a file. What MindSpore puts after them in place of a checksum is no block.
  private static func blocks(
    _ file: InputFile, mark: UInt32, _ kind: Cipher.Kind, _ key: CipherKey, hasTags: Bool
  ) throws -> [Block] {
    var blocks: [Block] = []
    var (offset, plain) = (0, 0)
    let before = markByteCount + (hasTags ? Cipher.tagByteCount : 0)
    while offset < file.byteCount {
      if file.byteCount - offset == MindSporeCheckpoint.trailerByteCount, offset > 0,
        try file.read(at: offset, count: MindSporeCheckpoint.trailerMark.count).array == MindSporeCheckpoint.trailerMark
      {
        break
      }
      guard blocks.count < maximumBlockCount else {
        throw BessemerError(.limit, "more than \(maximumBlockCount) encrypted blocks")
      }
      if blocks.count & 0xFF == 0 { try Interrupt.check() }
      func refuse(_ what: String) -> BessemerError {
        BessemerError(.header, "the encrypted block at byte \(offset) \(what)")
      }
      guard file.byteCount - offset >= before + fieldsByteCount else {
        throw BessemerError(.truncated, "truncated: \(file.byteCount - offset) bytes at byte \(offset) are no block")
      }
      var reader = ByteReader(try file.read(at: offset, count: before + fieldsByteCount))
      guard try reader.integer(UInt32.self, "a mark") == mark else { throw refuse("has another mark than the first") }
      try reader.skip(before - markByteCount, "a tag")
      let length = Int(try reader.integer(Int32.self, "a length"))
      guard try reader.integer(Int32.self, "a length") == Int32(vectorByteCount) else {
        throw refuse("has no vector of \(vectorByteCount) bytes")
      }
      try reader.skip(vectorByteCount, "a vector")
      let byteCount = Int(try reader.integer(Int32.self, "a length"))
      guard byteCount > 0, length == byteCount + 24 else {
        throw refuse("claims \(length) bytes, of them \(byteCount) of ciphertext")
      }
      let start = offset + before + fieldsByteCount
      guard byteCount <= file.byteCount - start else {
        throw BessemerError(
          .truncated,
          "truncated: a block claims \(byteCount) bytes at byte \(start), \(file.byteCount - start) are left")
      }
      let plainByteCount = byteCount - (kind == .gcm ? 0 : try padding(file, start, byteCount, kind, key))
      blocks.append(Block(offset: start, byteCount: byteCount, plain: plain..<(plain + plainByteCount)))
      (offset, plain) = (start + byteCount, plain + plainByteCount)
    }
    return blocks
  }

  /// The length of the padding at the end of a block of a chain.
  private static func padding(
    _ file: InputFile, _ start: Int, _ byteCount: Int, _ kind: Cipher.Kind, _ key: CipherKey
  ) throws -> Int {
    let size = Cipher.blockByteCount
    guard byteCount % size == 0 else { throw wrongKey }
    // Before a single cipher block stands the length, and before that the vector.
    let isAlone = byteCount == size
    let vector = try file.read(at: start + byteCount - 2 * size - (isAlone ? 4 : 0), count: size).array
    let last = try file.read(at: start + byteCount - size, count: size)
    let cipher = try Cipher(kind, key, vector: vector, encrypts: false)
    let plain = try Bytes(byteCount: size) { target in
      try last.withUnsafeBytes { try cipher.update($0, into: target) }
    }.array
    guard let pad = plain.last.map(Int.init), (1...size).contains(pad),
      plain.suffix(pad).allSatisfy({ Int($0) == pad })
    else { throw wrongKey }
    return pad
  }
}
