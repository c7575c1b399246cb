public import Tensors

/// What a writer may be asked for beside the format.
public struct WriteOptions: Sendable {
  /// Whether files of MindSpore get a checksum.
  public var writesChecksum = false
  /// What MindSpore's checkpoints are encrypted with.
  public var encryption: Encryption?
  /// The strategy file that says what each device gets, or a folder of one for each stage; the output is then a folder
  /// of ranks.
  public var strategy: String?
  /// The strategy that the input was written with, whose parameters are weights.
  public var sourceStrategy: String?

  public init() {}

  /// The format as these options call for it. Throws ``ErrorCode/usage`` for one that takes no such option.
  public func applied(to format: any WritableCheckpointFormat) throws -> any WritableCheckpointFormat {
    var result = format
    if let configurable = format as? any ConfigurableFileFormat {
      result = try configurable.writing(with: self)
    } else if writesChecksum || encryption != nil {
      throw BessemerError(
        .usage, "\(writesChecksum ? "--crc" : "--enc-mode") is for MindSpore checkpoints, not for \(format.name)")
    }
    if let unified = format as? UnifiedSafetensors { result = try unified.writing(weightsOf: sourceStrategy) }
    guard let strategy else { return result }
    guard let file = result as? any ConfigurableFileFormat else {
      throw BessemerError(
        .usage, "ranks are written as mindspore or mindspore-safetensors, not as \(format.name); pass --to")
    }
    return DistributedWriter(file, strategy: try Strategy(path: strategy))
  }
}

/// A file laid out: its size, and a way to write it.
public struct FileLayout: Sendable {
  let byteCount: Int
  let write: @Sendable (any ByteSink) throws -> Void
}

/// A format that is one file, whose writer takes options.
public protocol ConfigurableFileFormat: WritableCheckpointFormat {
  func writing(with options: WriteOptions) throws -> Self
  /// Lays a file out for tensors and texts that ``problems(_:metadata:)`` has nothing against.
  func layout(_ entries: [CheckpointEntry], metadata: [TensorName: String]) throws -> FileLayout
}

extension ConfigurableFileFormat {
  public func write(_ entries: [CheckpointEntry], metadata: [TensorName: String], to path: String, overwrite: Bool)
    throws
  {
    let file = try inFile(path) {
      try check(entries, metadata: metadata)
      return try layout(entries, metadata: metadata)
    }
    try AtomicWriter.write(to: path, overwrite: overwrite, byteCount: file.byteCount) { try file.write($0) }
  }
}
