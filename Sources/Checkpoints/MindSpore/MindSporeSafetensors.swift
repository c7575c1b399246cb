public import Safetensors
public import Tensors

/// Safetensors as MindSpore writes them, and as its reader, which is stricter than others, takes them.
///
/// Headers are in the order of the data, without holes, as all that we write are. Metadata says `format: ms`; a key
/// that is a tensor's name may only mark packed 4-bit numbers. A checksum over names and data may stand in the
/// metadata.
public struct MindSporeSafetensors: ConfigurableFileFormat {
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
    let value = try checksum(file.store().entries.map { CheckpointEntry($0) })
    guard UInt64(text) == UInt64(value) else {
      throw BessemerError(
        .digest, "has the checksum \(value), its metadata says \(escaped(text, limit: 20))", file: file.path)
    }
  }

  /// The store without a checksum that has been verified: it is not that of other files with the same tensors.
  public static func withoutChecksum(_ store: TensorStore) -> TensorStore {
    guard store.metadata[formatKey] == format else { return store }
    var store = store
    store.metadata[checksumKey] = nil
    return store
  }

  /// The checksum as MindSpore computes it: over names and data in the order of names. Of a whole number without
  /// dimensions its data are as many zeros as it says, since Python's `bytes(number)` is that.
  private static func checksum(_ entries: [CheckpointEntry]) throws -> UInt32 {
    var sum = CRC32()
    for entry in entries.sorted(by: { $0.name < $1.name }) {
      try Interrupt.check()
      sum.update(name: entry.name)
      let sink = DataSink(sum, keepsBytes: entry.shape.isEmpty && entry.dtype.isInteger)
      try entry.write(to: sink)
      sum = sink.sum
      guard let kept = sink.kept else { continue }
      let number = try Tensor(entry.dtype, shape: [1], bytes: Bytes(kept)).integers[0]
      guard (0...maximumNumber).contains(number) else {
        throw BessemerError(
          .unsupportedFeature,
          "MindSpore has no checksum for the number \(number) of tensor \(quoted(entry.name.string)); leave out --crc")
      }
      let zeros = [UInt8](repeating: 0, count: min(Int(number), 1 << 20))
      for start in stride(from: 0, to: Int(number), by: 1 << 20) {
        zeros.withUnsafeBytes { sum.update(UnsafeRawBufferPointer(rebasing: $0[..<min(1 << 20, Int(number) - start)])) }
      }
    }
    return sum.value
  }

  /// The largest whole number without dimensions that a checksum goes over, as so many bytes.
  private static let maximumNumber: Int64 = 1 << 32

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

  public func writing(with options: WriteOptions) throws -> MindSporeSafetensors {
    guard options.encryption == nil else {
      throw BessemerError(.usage, "MindSpore encrypts .ckpt files only, not safetensors")
    }
    var copy = self
    copy.writesChecksum = options.writesChecksum
    return copy
  }

  /// With a checksum this reads all data once.
  public func layout(_ entries: [CheckpointEntry], metadata: [TensorName: String]) throws -> FileLayout {
    var metadata = metadata
    metadata[Self.formatKey] = Self.format
    metadata[Self.checksumKey] = nil
    if writesChecksum { metadata[Self.checksumKey] = String(try Self.checksum(entries)) }
    let writer = try SafetensorsWriter(entries.map(\.safetensors), metadata: metadata)
    return FileLayout(byteCount: writer.byteCount) { try writer.write(to: $0) }
  }
}

/// Sums up bytes, or keeps the few of a number.
private final class DataSink: ByteSink {
  private(set) var sum: CRC32
  private(set) var kept: [UInt8]?
  private(set) var position = 0

  init(_ sum: CRC32, keepsBytes: Bool) {
    self.sum = sum
    kept = keepsBytes ? [] : nil
  }

  func write(_ bytes: UnsafeRawBufferPointer) {
    position += bytes.count
    if kept == nil { sum.update(bytes) } else { kept?.append(contentsOf: bytes) }
  }

  func write(_ bytes: Bytes) throws {
    guard kept == nil else { return bytes.withUnsafeBytes { write($0) } }
    position += bytes.count
    try sum.update(bytes)
  }
}

extension CheckpointEntry {
  public var safetensors: SafetensorsWriter.Entry {
    SafetensorsWriter.Entry(name, dtype, shape: shape) { try write(to: $0) }
  }
}
