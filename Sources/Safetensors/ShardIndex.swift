public import Tensors

/// An index of shards, `NAME.index.json`: which file beside it holds which tensor. Formats differ in their shards
/// alone.
public enum ShardIndex {
  /// Bytes of an index that are read.
  public static let maxByteCount = 64 << 20

  /// Opens all shards that the index at `path` names; `append` adds the tensors of one to a store. The index must name
  /// every tensor of its shards, each in the shard that holds it.
  public static func read(_ path: String, _ append: (InputFile, inout TensorStore) throws -> Void) throws
    -> TensorStore
  {
    try inFile(path) {
      let root = try JSON.parse(InputFile.contents(of: path, limit: maxByteCount))
      guard root.kind == .object, let map = root["weight_map"], map.kind == .object else {
        throw BessemerError(.shardIndex, "no index: expected an object with an object \"weight_map\"")
      }
      let counts = try tensorCounts(map)
      var store = TensorStore()
      store.reserveCapacity(map.count)
      let folder = try InputFolder(of: path)
      for (shard, count) in counts.sorted(by: { $0.key < $1.key }) {
        do {
          let first = store.entries.count
          try append(folder.open(shard.string, links: .followed), &store)
          try check(store.entries[first...], count, map, shard)
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

  /// Throws unless the shard holds exactly the `count` tensors that the index says.
  private static func check(
    _ entries: ArraySlice<TensorStore.Entry>, _ count: Int, _ map: JSON, _ shard: TensorName
  ) throws {
    for entry in entries {
      guard let expected = map[entry.name.string]?.string.map({ TensorName($0) }) else {
        throw BessemerError(.shardIndex, "holds tensor \(quoted(entry.name.string)), which the index lacks")
      }
      guard expected == shard else {
        throw BessemerError(
          .shardIndex,
          "holds tensor \(quoted(entry.name.string)), which the index has in \(quoted(expected.string))")
      }
    }
    guard entries.count != count else { return }
    let present = Set(entries.map(\.name))
    let absent = map.members.filter { name, value in
      value.string.map { TensorName($0) == shard } ?? false && !present.contains(TensorName(name))
    }
    throw BessemerError(
      .shardIndex,
      "lacks tensor \(quoted(absent.first?.key ?? ""))" + (absent.count > 1 ? " and \(absent.count - 1) more" : "")
        + ", which the index has in it")
  }
}
