public import Safetensors
public import Tensors

/// Safetensors as MindSpore writes them, and as its reader, which is stricter than others, takes them.
///
/// Headers are in the order of the data, without holes, as all that we write are. Metadata says `format: ms`; a key that
/// is a tensor's name may only mark packed 4-bit numbers. A checksum over names and data may stand in the metadata.
public struct MindSporeSafetensors: WritableCheckpointFormat {
  /// Whether a checksum is written, as `save_checkpoint(crc_check=True)` does.
  public var writesChecksum = false

  public init() {}

  public var name: String { "mindspore-safetensors" }
  public var suffixes: [String] { [] }
  public var summary: String { "safetensors for MindSpore, whose reader is strict" }
  public var keepsMetadata: Bool { true }

  static let formatKey: TensorName = "format"
  static let format = "ms"
  static let checksumKey: TensorName = "crc_num"
  /// Whether ranks were saved without what others hold too.
  static let redundancyKey: TensorName = "remove_redundancy"

  /// Such files are told by their metadata, which ``checked(_:)`` looks at.
  public func recognizes(_ start: [UInt8]) -> Bool { false }

  public func read(_ path: String) throws -> TensorStore {
    let file = try SafetensorsFile(path: path)
    try MindSporeSafetensors.check(file)
    return try MindSporeSafetensors.withoutChecksum(file.store())
  }

  /// Verifies the checksum of a file that MindSpore wrote, if it has one. Throws ``ErrorCode/digest``.
  public static func check(_ file: SafetensorsFile) throws {
    let metadata = file.header.metadata
    guard metadata[formatKey] == format, let text = metadata[checksumKey] else { return }
    var sum = CRC32()
    for entry in file.header.entries.sorted(by: { $0.name < $1.name }) {
      sum.update(name: entry.name)
      try sum.update(file.bytes(of: entry))
    }
    guard UInt64(text) == UInt64(sum.value) else {
      throw BessemerError(
        .digest, "has the checksum \(sum.value), its metadata says \(escaped(text, limit: 20))", file: file.path)
    }
  }

  /// The store without a checksum that has been verified: it is not that of other files with the same tensors.
  public static func withoutChecksum(_ store: TensorStore) -> TensorStore {
    guard store.metadata[formatKey] == format else { return store }
    var store = store
    store.metadata[checksumKey] = nil
    return store
  }

  public func problems(_ entries: [CheckpointEntry], metadata: [TensorName: String]) -> [String] {
    var problems: [String] = []
    for entry in entries {
      if entry.name.string == "__metadata__" { problems.append("a tensor of the name \"__metadata__\"") }
      if MindSporeTypes.name(entry.dtype) == nil || entry.byteCount == nil {
        problems.append("\(TensorType(entry.dtype, shape: entry.shape)) (tensor \(quoted(entry.name.string)))")
      }
      if let mark = metadata[entry.name], mark != MindSporeTypes.packedInt4 || entry.dtype != .int8 {
        problems.append("a text and a tensor of the same name \(quoted(entry.name.string))")
      }
    }
    return problems
  }

  public func write(_ entries: [CheckpointEntry], metadata: [TensorName: String], to path: String, overwrite: Bool)
    throws
  {
    try inFile(path) { try check(entries, metadata: metadata) }
    let writer = try writer(entries, metadata: metadata)
    try writer.write(to: path, overwrite: overwrite)
  }

  /// A file laid out. With a checksum this reads all data once.
  func writer(_ entries: [CheckpointEntry], metadata: [TensorName: String]) throws -> SafetensorsWriter {
    var metadata = metadata
    metadata[Self.formatKey] = Self.format
    metadata[Self.checksumKey] = nil
    if writesChecksum {
      let sink = ChecksumSink(NullSink())
      for entry in entries.sorted(by: { $0.name < $1.name }) {
        try Interrupt.check()
        sink.add(name: entry.name)
        try entry.write(to: sink)
      }
      metadata[Self.checksumKey] = String(sink.crc.value)
    }
    return try SafetensorsWriter(entries.map(\.safetensors), metadata: metadata)
  }
}

/// Counts bytes.
private final class NullSink: ByteSink {
  private(set) var position = 0
  func write(_ bytes: UnsafeRawBufferPointer) { position += bytes.count }
  func write(_ bytes: Bytes) { position += bytes.count }
}

extension CheckpointEntry {
  public var safetensors: SafetensorsWriter.Entry {
    SafetensorsWriter.Entry(name, dtype, shape: shape) { try write(to: $0) }
  }
}
