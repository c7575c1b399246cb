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
  /// `model.safetensors` is taken if it is there, else the one `*.safetensors.index.json`, else all `*.safetensors` files,
  /// which must not share a name. An index must name every tensor of its shards, each in the shard that holds it.
  public static func read(_ path: String) throws -> TensorStore {
    var status = stat()
    if stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR { return try readFolder(path) }
    if path.hasSuffix(".json") { return try readIndex(path) }
    return try SafetensorsFile(path: path).store()
  }

  private static func readFolder(_ path: String) throws -> TensorStore {
    let folder = try InputFolder(path: path)
    let names = try folder.names()
    if names.contains("model.safetensors") {
      return try SafetensorsFile(folder.open("model.safetensors", links: .followed)).store()
    }
    let indices = names.filter { $0.hasSuffix(indexSuffix) }
    guard indices.count <= 1 else {
      throw BessemerError(.shardIndex, "holds \(indices.count) indices; name the one to read", file: path)
    }
    if let index = indices.first { return try readIndex(folder.joined(index)) }
    let files = names.filter { $0.hasSuffix(fileSuffix) }
    guard !files.isEmpty else {
      throw BessemerError(.fileMissing, "holds neither *.safetensors nor an index of them", file: path)
    }
    var store = TensorStore()
    for name in files {
      let file = try SafetensorsFile(folder.open(name, links: .followed))
      try inFile(file.path) { try file.append(to: &store) }
    }
    return store
  }

  private static func readIndex(_ path: String) throws -> TensorStore {
    try inFile(path) {
      let map = try weightMap(path)
      var store = TensorStore()
      let folder = try InputFolder(of: path)
      for (number, shard) in map.shards.enumerated() {
        do {
          let file = try SafetensorsFile(folder.open(shard, links: .followed))
          try check(file, number, map)
          try file.append(to: &store)
        } catch let error as BessemerError {
          throw BessemerError(error.code, "shard \(quoted(shard)): \(error.message)", file: path)
        }
      }
      return store
    }
  }

  /// Which shard holds which tensor.
  private struct WeightMap {
    /// Sorted by bytes.
    var shards: [String] = []
    /// Tensors of each shard by the index.
    var counts: [Int] = []
    var shardOfTensor: [TensorName: Int] = [:]
  }

  private static func weightMap(_ path: String) throws -> WeightMap {
    let root = try JSON.parse(InputFile.contents(of: path, limit: maxIndexByteCount))
    guard root.kind == .object, let members = root["weight_map"], members.kind == .object else {
      throw BessemerError(.shardIndex, "no index: expected an object with an object \"weight_map\"")
    }
    guard members.count > 0 else { throw BessemerError(.shardIndex, "the weight_map is empty") }
    var numbers: [TensorName: Int] = [:]
    var tensors: [(tensor: TensorName, shard: TensorName)] = []
    tensors.reserveCapacity(members.count)
    for (tensor, value) in members.members {
      guard let shard = value.string else {
        throw BessemerError(
          .shardIndex,
          "the shard of tensor \(quoted(tensor)) is \(value.summary) at byte \(value.byteOffset), expected a file name")
      }
      let name = TensorName(shard)
      if numbers.updateValue(0, forKey: name) == nil { try InputFolder.checkName(shard) }
      tensors.append((TensorName(tensor), name))
    }
    var map = WeightMap()
    let names = numbers.keys.sorted()
    for (number, name) in names.enumerated() { numbers[name] = number }
    map.shards = names.map(\.string)
    map.counts = [Int](repeating: 0, count: names.count)
    map.shardOfTensor.reserveCapacity(tensors.count)
    for (tensor, shard) in tensors {
      guard let number = numbers[shard] else { continue }
      map.shardOfTensor[tensor] = number
      map.counts[number] += 1
    }
    return map
  }

  /// Throws unless the shard holds exactly the tensors that the index says.
  private static func check(_ file: SafetensorsFile, _ number: Int, _ map: WeightMap) throws {
    for entry in file.header.entries {
      guard let expected = map.shardOfTensor[entry.name] else {
        throw BessemerError(.shardIndex, "holds tensor \(quoted(entry.name.string)), which the index lacks")
      }
      guard expected == number else {
        throw BessemerError(
          .shardIndex,
          "holds tensor \(quoted(entry.name.string)), which the index has in \(quoted(map.shards[expected]))")
      }
    }
    guard file.header.entries.count != map.counts[number] else { return }
    let present = Set(file.header.entries.map(\.name))
    let absent = map.shardOfTensor.filter { $0.value == number && !present.contains($0.key) }.keys.sorted()
    throw BessemerError(
      .shardIndex,
      "lacks tensor \(quoted(absent.first?.string ?? ""))" + (absent.count > 1 ? " and \(absent.count - 1) more" : "")
        + ", which the index has in it")
  }
}
