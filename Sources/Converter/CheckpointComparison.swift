internal import Tensors
public import Validation

/// Checkpoints of any format held against each other.
public enum CheckpointComparison {
  /// What each tensor of a checkpoint is to those of its source. `progress` gets bytes done, and about how many there
  /// are.
  public static func verify(
    _ path: String, source: String, threads: Int, progress: @escaping @Sendable (_ done: Int, _ total: Int) -> Void
  ) throws -> Verification {
    let (output, original) = (try CheckpointFormats.read(path), try CheckpointFormats.read(source))
    return try Verification(output.entries, source: original.entries, threads: threads, progress: progress)
  }
}
