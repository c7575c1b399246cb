public import Tensors

/// MindSpore's `.ckpt` files: protobuf records without header, one for each parameter or slice of one.
///
/// Texts of `append_dict` are the metadata, its numbers are scalars; a hash table (`MapParameter`) is three tensors. A
/// checksum at the end is verified when there is one. Refused is where MindSpore loads something arbitrary: sizes that
/// do not fit, parameters that occur twice, slices that disagree.
public struct MindSporeCheckpoint: ConfigurableFileFormat, ConfigurableCheckpointFormat {
  /// Whether a checksum is written at the end, as `save_checkpoint(crc_check=True)` does.
  public var writesChecksum: Bool
  /// What written files are encrypted with.
  public var encryption: Encryption?
  /// How files are read.
  public var options = ReadOptions()
  let sliceByteCount: Int

  public init(writesChecksum: Bool = false, encryption: Encryption? = nil) {
    self.init(writesChecksum: writesChecksum, encryption: encryption, sliceByteCount: 1 << 29)
  }

  init(writesChecksum: Bool, encryption: Encryption? = nil, sliceByteCount: Int) {
    self.writesChecksum = writesChecksum
    self.encryption = encryption
    self.sliceByteCount = sliceByteCount
  }

  public var name: String { "mindspore" }
  public var suffixes: [String] { [".ckpt"] }
  public var summary: String { "MindSpore checkpoint, plain or encrypted" }
  public var keepsMetadata: Bool { true }

  /// Parameters of a file, and slices of all together.
  static let maximumRecordCount = 1_000_000
  /// Dimensions of a parameter.
  static let maximumRank = 32
  /// Bytes of a text.
  static let maximumTextByteCount = 64 << 20
  /// Bytes of a name.
  static let maximumNameByteCount = 4096

  /// The start of the trailer, before a checksum of 10 bytes, the highest first.
  static let trailerMark = Array("crc_num".utf8)
  static let trailerByteCount = 17

  /// An encrypted file, or one that starts with a record.
  public func recognizes(_ start: [UInt8]) -> Bool {
    CipherMode(start: start) != nil || MindSporeCheckpoint.startsRecord(start)
  }

  /// Whether a record starts here whose first field is the name, and whose second is a tensor or a table.
  static func startsRecord(_ start: [UInt8]) -> Bool {
    var reader = ByteReader(Bytes(start))
    guard (try? reader.varint("")) == 0x0A, let size = try? reader.varint(""),
      (try? reader.varint("")) == 0x0A, let count = try? reader.varint(""), count > 0, count < size
    else { return false }
    guard count < UInt64(reader.remaining) else { return count <= UInt64(MindSporeCheckpoint.maximumNameByteCount) }
    guard (try? reader.text(Int(count), "")) != nil, let next = try? reader.varint("") else { return false }
    return next == 0x12 || next == 0x1A
  }

  public func reading(with options: ReadOptions) -> MindSporeCheckpoint {
    var copy = self
    copy.options = options
    return copy
  }

  public func read(_ path: String) throws -> TensorStore {
    try inFile(path) {
      let file = try InputFile(path: path)
      let start = try file.read(at: 0, count: min(file.byteCount, 64)).array
      guard !start.isEmpty else { throw BessemerError(.truncated, "the file is empty, expected a checkpoint") }
      if let mode = CipherMode(start: start) {
        guard let key = options.key else {
          throw BessemerError(
            .key, "is encrypted with \(mode.rawValue); pass the file of its key with --key-file, or set BESSEMER_KEY")
        }
        return try MindSporeParser(path: path, source: EncryptedFile.open(file, mode: mode, key: key)).parse()
      }
      guard options.key == nil || options.isKeyOptional else {
        throw BessemerError(.usage, "is not encrypted, but a key was given")
      }
      guard start[0] == 0x0A || FileGuess.name(start) == nil else {
        throw BessemerError(
          .wrongFormat, "not a MindSpore checkpoint, it looks like \(FileGuess.name(start) ?? "something else")")
      }
      var content = try file.map().bytes
      if let crc = try MindSporeCheckpoint.trailer(file) {
        content = content[0..<(content.count - MindSporeCheckpoint.trailerByteCount)]
        var sum = CRC32()
        try sum.update(content)
        guard UInt64(sum.value) == crc else {
          throw BessemerError(.digest, "has the checksum \(sum.value), its trailer says \(crc)")
        }
      }
      return try MindSporeParser(path: path, source: PlainRecords(content: content)).parse()
    }
  }

  /// The checksum at the end of the file, if there is one.
  private static func trailer(_ file: InputFile) throws -> UInt64? {
    guard file.byteCount >= trailerByteCount else { return nil }
    let bytes = try file.read(at: file.byteCount - trailerByteCount, count: trailerByteCount).array
    guard bytes.starts(with: trailerMark) else { return nil }
    let digits = bytes.dropFirst(trailerMark.count)
    guard digits.prefix(2).allSatisfy({ $0 == 0 }) else { return .max }
    return digits.reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
  }
}
