internal import Checkpoints
internal import Safetensors
internal import Tensors

/// All checkpoint formats, and which of them a path leads to.
enum CheckpointFormats {
  /// By alphabet.
  static let all: [any CheckpointFormat] = [
    DistributedCheckpoint(),
    GGUF(),
    HDF5(),
    MindSporeCheckpoint(),
    MindSporeSafetensors(),
    NPYFile(),
    NPZ(),
    ONNX(),
    PyTorch(),
    SafetensorsFormat(),
    UnifiedSafetensors(),
  ]

  /// Bytes at the start of a file that tell its format.
  private static let startByteCount = 512

  /// The format of what is at `path`: by content, else by the name's ending, else safetensors, whose reader says what
  /// the file or folder looks like. An index of shards is told by its ending, a folder by the names in it.
  static func format(at path: String) throws -> any CheckpointFormat {
    if try isFolder(path) {
      let names = try InputFolder(path: path).names()
      return all.first { $0.recognizes(folder: names) } ?? SafetensorsFormat()
    }
    guard !path.hasSuffix(".json") else { return format(named: path) ?? SafetensorsFormat() }
    let file = try InputFile(path: path)
    let start = try file.read(at: 0, count: min(file.byteCount, startByteCount)).array
    return all.first { $0.recognizes(start) } ?? format(named: path) ?? SafetensorsFormat()
  }

  static func read(_ path: String, options: ReadOptions = ReadOptions()) throws -> TensorStore {
    try options.applied(to: format(at: path)).read(path)
  }

  /// The format that a file name ends like.
  static func format(named path: String) -> (any CheckpointFormat)? {
    all.first { $0.suffixes.contains { path.hasSuffix($0) } }
  }

  /// The format that a person names: by its name or an ending.
  static func format(word: String) throws -> any CheckpointFormat {
    let word = word.lowercased()
    if let format = all.first(where: { $0.name == word || $0.suffixes.contains("." + word) }) { return format }
    let names = all.map(\.name).joined(separator: ", ")
    throw BessemerError(.usage, "no checkpoint format \(quoted(word)); expected one of \(names)")
  }
}

/// The safetensors format among the others.
struct SafetensorsFormat: WritableCheckpointFormat {
  var name: String { "safetensors" }
  var suffixes: [String] { [".safetensors"] }
  var summary: String { "a file, an index.json with its shards, or a folder of them" }
  var keepsMetadata: Bool { true }
  var keepsTies: Bool { true }

  /// The length of a header and its first character.
  func recognizes(_ start: [UInt8]) -> Bool {
    guard start.count > 8, start[8] == UInt8(ascii: "{") else { return false }
    let count = start.prefix(8).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    return count <= UInt64(SafetensorsHeader.maxTextByteCount)
  }

  /// Checksums that MindSpore put into metadata are verified.
  func read(_ path: String) throws -> TensorStore {
    try MindSporeSafetensors.withoutChecksum(SafetensorsCheckpoint.read(path, check: MindSporeSafetensors.check))
  }

  func problems(_ entries: [CheckpointEntry], metadata: [TensorName: String]) -> [String] {
    entries.compactMap { entry in
      if entry.name.string == "__metadata__" { return "a tensor of the name \"__metadata__\"" }
      guard entry.dtype.safetensorsName == nil || entry.byteCount == nil else { return nil }
      return "\(TensorType(entry.dtype, shape: entry.shape)) (tensor \(quoted(entry.name.string)))"
    }
  }

  func write(_ entries: [CheckpointEntry], metadata: [TensorName: String], to path: String, overwrite: Bool) throws {
    try inFile(path) { try check(entries, metadata: metadata) }
    let (tensors, metadata) = SafetensorsFormat.stored(entries, metadata)
    try SafetensorsWriter(tensors, metadata: metadata).write(to: path, overwrite: overwrite)
  }

  /// The tensors that are stored, and the texts with the name of each other one as a key and of its twin as the value,
  /// as safetensors' own `save_model` writes them.
  static func stored(_ entries: [CheckpointEntry], _ metadata: [TensorName: String])
    -> (tensors: [SafetensorsWriter.Entry], metadata: [TensorName: String])
  {
    var metadata = metadata
    for entry in entries { if let twin = entry.twin { metadata[entry.name] = twin.string } }
    return (entries.filter { $0.twin == nil }.map(\.safetensors), metadata)
  }
}
