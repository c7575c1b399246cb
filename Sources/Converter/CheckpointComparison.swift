public import Checkpoints
internal import Tensors
public import Validation

/// Checkpoints of any format held against each other.
public enum CheckpointComparison {
  /// What each tensor of a checkpoint is to those of its source, each read with the options that are for its format.
  /// `progress` gets bytes done, and about how many there are.
  public static func verify(
    _ path: String, source: String, reading: ReadOptions = ReadOptions(), threads: Int,
    progress: @escaping @Sendable (_ done: Int, _ total: Int) -> Void
  ) throws -> Verification {
    let (output, original) = (try read(path, reading), try read(source, reading))
    return try Verification(output.entries, source: original.entries, threads: threads, progress: progress)
  }

  /// What two checkpoints differ in, `pattern` says of which tensors. With `mapPath`, a map that makes the second of
  /// the first is written there; returned is then what it leaves out.
  public static func diff(
    _ old: String, _ new: String, reading: ReadOptions = ReadOptions(), only pattern: NamePattern? = nil,
    match: CheckpointDiff.Match, threads: Int,
    mapPath: String? = nil, overwrite: Bool = false,
    progress: @escaping @Sendable (_ done: Int, _ total: Int) -> Void
  ) throws -> (diff: CheckpointDiff, omitted: [String]) {
    if let mapPath { try Bundles.checkOutput(mapPath, overwrite: overwrite, kind: .file) }
    let stores = try [old, new].map { try selected(read($0, reading), pattern) }
    if let pattern, stores.allSatisfy(\.entries.isEmpty) {
      throw BessemerError(.usage, "\(quoted(pattern.text)) matches no tensor of either", file: old)
    }
    let diff = try CheckpointDiff(stores[0], stores[1], match: match, threads: threads, progress: progress)
    guard let mapPath else { return (diff, []) }
    let map = MapText(diff, old: stores[0])
    try AtomicWriter.write(to: mapPath, overwrite: overwrite) { try $0.write(map.text) }
    return (diff, map.omitted)
  }

  private static func read(_ path: String, _ options: ReadOptions) throws -> TensorStore {
    try CheckpointFormats.read(path, options: options.fitting(CheckpointFormats.format(at: path)))
  }

  private static func selected(_ store: TensorStore, _ pattern: NamePattern?) throws -> TensorStore {
    guard let pattern else { return store }
    var result = TensorStore()
    for entry in store.entries where try pattern.matches(entry.name.string) { try result.append(entry) }
    return result
  }
}
