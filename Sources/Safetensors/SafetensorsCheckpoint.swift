internal import Glibc
public import Tensors

/// A checkpoint of one or more safetensors files.
public enum SafetensorsCheckpoint {
  /// Bytes of an index that are read.
  public static let maxIndexByteCount = 64 << 20
  private static let indexSuffix = ".safetensors.index.json"
  private static let fileSuffix = ".safetensors"

  /// Opens a checkpoint without touching a byte of its tensors.
  ///
  /// `path` is a `.safetensors` file, an index (`*.json`, with its shards beside it), or a folder. Of a folder,
  /// `model.safetensors` is taken if it is there, else the one `*.safetensors.index.json`, else all `*.safetensors`
  /// files, which must not share a name. An index must name every tensor of its shards, each in the shard that holds
  /// it.
  ///
  /// `check` is called for each file before its tensors are taken.
  public static func read(_ path: String, check: (SafetensorsFile) throws -> Void = { _ in }) throws -> TensorStore {
    var status = stat()
    if stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR { return try readFolder(path, check) }
    if path.hasSuffix(".json") { return try readIndex(path, check) }
    return try open(SafetensorsFile(path: path), check).store()
  }

  private static func open(
    _ file: SafetensorsFile, _ check: (SafetensorsFile) throws -> Void
  ) throws -> SafetensorsFile {
    try check(file)
    return file
  }

  private static func readFolder(
    _ path: String, _ check: (SafetensorsFile) throws -> Void
  ) throws -> TensorStore {
    let folder = try InputFolder(path: path)
    let names = try folder.names()
    if names.contains("model.safetensors") {
      return try open(SafetensorsFile(folder.open("model.safetensors", links: .followed)), check).store()
    }
    let indices = names.filter { $0.hasSuffix(indexSuffix) }
    guard indices.count <= 1 else {
      throw BessemerError(.shardIndex, "holds \(indices.count) indices; name the one to read", file: path)
    }
    if let index = indices.first { return try readIndex(folder.joined(index), check) }
    let files = names.filter { $0.hasSuffix(fileSuffix) }
    guard !files.isEmpty else {
      throw BessemerError(.fileMissing, "holds neither *.safetensors nor an index of them", file: path)
    }
    var store = TensorStore()
    for name in files {
      let file = try open(SafetensorsFile(folder.open(name, links: .followed)), check)
      try inFile(file.path) { try file.append(to: &store) }
    }
    return store
  }

  private static func readIndex(
    _ path: String, _ verify: (SafetensorsFile) throws -> Void
  ) throws -> TensorStore {
    try inFile(path) {
      let root = try JSON.parse(InputFile.contents(of: path, limit: maxIndexByteCount))
      guard root.kind == .object, let map = root["weight_map"], map.kind == .object else {
        throw BessemerError(.shardIndex, "no index: expected an object with an object \"weight_map\"")
      }
      let counts = try tensorCounts(map)
      var store = TensorStore()
      store.reserveCapacity(map.count)
      let folder = try InputFolder(of: path)
      for (shard, count) in counts.sorted(by: { $0.key < $1.key }) {
        do {
          let file = try open(SafetensorsFile(folder.open(shard.string, links: .followed)), verify)
          try check(file, holds: count, map, shard)
          try file.append(to: &store)
        } catch let error as BessemerError {
          throw BessemerError(error.code, "shard \(quoted(shard.string)): \(error.message)", file: path)
        }
      }
      return store
    }
  }

  /// How many tensors the index has in each shard; all file names are checked.
  private static func tensorCounts(_ map: JSON) throws -> [TensorName: Int] {
    guard map.count > 0 else { throw BessemerError(.shardIndex, "the weight_map is empty") }
    var counts: [TensorName: Int] = [:]
    // Neighbours mostly share their shard, so they are counted together.
    var run: (shard: TensorName, count: Int)?
    for (tensor, value) in map.members {
      guard let shard = value.string.map({ TensorName($0) }) else {
        throw BessemerError(
          .shardIndex,
          "the shard of tensor \(quoted(tensor)) is \(value.summary) at byte \(value.byteOffset), expected a file name")
      }
      if let current = run, current.shard == shard {
        run = (shard, current.count + 1)
      } else {
        if let run { counts[run.shard, default: 0] += run.count }
        try InputFolder.checkName(shard.string)
        run = (shard, 1)
      }
    }
    if let run { counts[run.shard, default: 0] += run.count }
    return counts
  }

  /// Throws unless the shard holds exactly the tensors that the index says.
  private static func check(_ file: SafetensorsFile, holds count: Int, _ map: JSON, _ shard: TensorName) throws {
    for entry in file.header.entries {
      guard let expected = map[entry.name.string]?.string.map({ TensorName($0) }) else {
        throw BessemerError(.shardIndex, "holds tensor \(quoted(entry.name.string)), which the index lacks")
      }
      guard expected == shard else {
        throw BessemerError(
          .shardIndex,
          "holds tensor \(quoted(entry.name.string)), which the index has in \(quoted(expected.string))")
      }
    }
    guard file.header.entries.count != count else { return }
    let present = Set(file.header.entries.map(\.name))
    let absent = map.members.filter { name, value in
      value.string.map { TensorName($0) == shard } ?? false && !present.contains(TensorName(name))
    }
    throw BessemerError(
      .shardIndex,
      "lacks tensor \(quoted(absent.first?.key ?? ""))" + (absent.count > 1 ? " and \(absent.count - 1) more" : "")
        + ", which the index has in it")
  }
}
