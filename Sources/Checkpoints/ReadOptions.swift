internal import Tensors

/// What a reader may need beside the path.
public struct ReadOptions: Sendable {
  /// The key of an encrypted checkpoint.
  public var key: CipherKey?
  /// Whether a key that is not needed is no mistake, as one that stands in the environment.
  public var isKeyOptional = false

  public init() {}

  /// The format as these options call for it. Throws ``ErrorCode/usage`` for one that takes no such option.
  public func applied(to format: any CheckpointFormat) throws -> any CheckpointFormat {
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
