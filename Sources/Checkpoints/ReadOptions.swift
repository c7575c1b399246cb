internal import Tensors

/// What a reader may need beside the path.
public struct ReadOptions: Sendable {
  /// The key of an encrypted checkpoint.
  public var key: CipherKey?
  /// Whether a key that is not needed is no mistake, as one that stands in the environment.
  public var isKeyOptional = false
  /// The strategy file of a distributed checkpoint, or a folder of one for each stage.
  public var strategy: String?

  public init() {}

  /// The options for one of several checkpoints, of which each gets what is for its format.
  public func fitting(_ format: any CheckpointFormat) -> ReadOptions {
    var result = self
    result.isKeyOptional = true
    if !(format is DistributedCheckpoint) { result.strategy = nil }
    return result
  }

  /// The format as these options call for it. Throws ``ErrorCode/usage`` for one that takes no such option.
  public func applied(to format: any CheckpointFormat) throws -> any CheckpointFormat {
    guard strategy == nil || format is DistributedCheckpoint else {
      throw BessemerError(.usage, "a strategy is for folders of ranks, this is \(format.name)")
    }
    if let format = format as? any ConfigurableCheckpointFormat { return format.reading(with: self) }
    guard key == nil || isKeyOptional else {
      throw BessemerError(.usage, "a key is for encrypted MindSpore checkpoints, this is \(format.name)")
    }
    return format
  }
}

/// A format whose reader takes options.
public protocol ConfigurableCheckpointFormat: CheckpointFormat {
  func reading(with options: ReadOptions) -> Self
}
