public import Tensors

/// MindSpore's `.ckpt` files: protobuf records without header, one for each parameter or slice of one.
///
/// Texts of `append_dict` are the metadata, its numbers are scalars. A checksum at the end is verified when there is
/// one. Refused are encrypted files and hash tables, and, where MindSpore loads something arbitrary: sizes that do
/// not fit, parameters that occur twice, slices that disagree.
public struct MindSporeCheckpoint: WritableCheckpointFormat {
  /// Whether a checksum is written at the end, as `save_checkpoint(crc_check=True)` does.
  public var writesChecksum: Bool
  let sliceByteCount: Int

  public init(writesChecksum: Bool = false) { self.init(writesChecksum: writesChecksum, sliceByteCount: 1 << 29) }

  init(writesChecksum: Bool, sliceByteCount: Int) {
    self.writesChecksum = writesChecksum
    self.sliceByteCount = sliceByteCount
  }

  public var name: String { "mindspore" }
  public var suffixes: [String] { [".ckpt"] }
  public var summary: String { "MindSpore checkpoint, not encrypted" }
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

  /// An encrypted file, or a record whose first field is the name, and whose second is a tensor or a table.
  public func recognizes(_ start: [UInt8]) -> Bool {
    if MindSporeCheckpoint.isEncrypted(start) { return true }
    var reader = ByteReader(Bytes(start))
    guard (try? reader.varint("")) == 0x0A, let size = try? reader.varint(""),
      (try? reader.varint("")) == 0x0A, let count = try? reader.varint(""), count > 0, count < size
    else { return false }
    guard count < UInt64(reader.remaining) else { return count <= UInt64(MindSporeCheckpoint.maximumNameByteCount) }
    guard (try? reader.text(Int(count), "")) != nil, let next = try? reader.varint("") else { return false }
    return next == 0x12 || next == 0x1A
  }

  private static func isEncrypted(_ start: [UInt8]) -> Bool {
    start.count >= 4 && (0xD8...0xDA).contains(start[0]) && start[1...3].elementsEqual([0x5E, 0x3A, 0x7F])
  }

  public func read(_ path: String) throws -> TensorStore {
    try inFile(path) {
      let file = try InputFile(path: path)
      let start = try file.read(at: 0, count: min(file.byteCount, 64)).array
      guard !start.isEmpty else { throw BessemerError(.truncated, "the file is empty, expected a checkpoint") }
      guard !MindSporeCheckpoint.isEncrypted(start) else {
        throw BessemerError(
          .unsupportedFeature, "is encrypted; load it in MindSpore with its key and save it without one")
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
      return try MindSporeParser(path: path).parse(content)
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
