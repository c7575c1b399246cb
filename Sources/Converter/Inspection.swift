public import Checkpoints
internal import Bundle
public import Tensors

/// What a checkpoint or bundle holds, by headers alone.
public struct Inspection: Sendable {
  /// Sums over tensors of one kind.
  public struct Sum: Sendable {
    public var tensorCount = 0
    public var elementCount = 0
    public var byteCount = 0

    public init(_ entries: [TensorStore.Entry] = []) {
      for entry in entries { add(entry) }
    }

    public mutating func add(_ other: Sum) {
      tensorCount += other.tensorCount
      elementCount += other.elementCount
      byteCount += other.byteCount
    }

    mutating func add(_ entry: TensorStore.Entry) {
      tensorCount += 1
      elementCount += Tensor.elementCount(of: entry.shape) ?? 0
      byteCount += entry.storedByteCount
    }
  }

  public let location: ModelLocation
  /// The tensors that were asked for, in the order of their files.
  public let entries: [TensorStore.Entry]
  /// All tensors of the checkpoint, also those not asked for.
  public let weights: TensorStore
  public private(set) var total = Sum()
  /// By what files hold, see ``TensorStore/Entry/storedTypeName``, in the order in which types first occur.
  public private(set) var byType: [(type: String, sum: Sum)] = []
  /// By file, in the order in which files first occur.
  public private(set) var byFile: [(file: String, sum: Sum)] = []

  /// Reads the headers at `location`. Throws ``ErrorCode/usage`` when `selector` matches no tensor.
  public init(_ location: ModelLocation, selector: NamePattern? = nil, reading: ReadOptions = ReadOptions()) throws {
    self.location = location
    switch location {
    case .bundle(let path):
      let parts = try Bundles.open(path).parts
      weights = try TensorStore(joining: parts.map { (parts.count == 1 ? "" : $0.name + "/", $0.weights) })
    case .folder(let path), .weights(let path):
      if let pipeline = try Pipeline(location) {
        weights = try TensorStore(
          joining: pipeline.models.map { ($0.name + "/", try CheckpointFormats.read($0.path, options: reading)) })
      } else {
        weights = try CheckpointFormats.read(path, options: reading)
      }
    }
    if let selector {
      entries = try weights.entries.filter { try selector.matches($0.name.string) }
      guard !entries.isEmpty else {
        throw BessemerError(
          .usage, "\(quoted(selector.text)) matches none of \(weights.entries.count) tensors",
          file: location.path)
      }
    } else {
      entries = weights.entries
    }
    var types: [String: Int] = [:]
    var files: [String: Int] = [:]
    // Tensors of a file stand together: the file's name is looked up once for all of them.
    var (file, position) = ("", -1)
    for entry in entries {
      total.add(entry)
      let type = types[entry.storedTypeName] ?? byType.count
      if type == byType.count {
        types[entry.storedTypeName] = type
        byType.append((entry.storedTypeName, Sum()))
      }
      byType[type].sum.add(entry)
      if position < 0 || entry.file != file {
        file = entry.file
        position = files[file] ?? byFile.count
        if position == byFile.count {
          files[file] = position
          byFile.append((file, Sum()))
        }
      }
      byFile[position].sum.add(entry)
    }
  }

  /// Whether the path names a model's folder, whose configuration is to be checked too.
  public var isModelFolder: Bool {
    if case .folder = location { return true }
    return false
  }
}
