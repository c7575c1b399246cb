internal import Synchronization
public import Tensors

/// An index of shards, `NAME.index.json`: which file beside it holds which tensor. Formats differ in their shards
/// alone.
public enum ShardIndex {
  /// Bytes of an index that are read.
  public static let maxByteCount = 64 << 20

  /// Shards that are open at a time, and threads that open them.
  private static let (batchCount, threadCount) = (64, 4)

  /// Opens all shards that the index at `path` names: `open` reads one, on any thread, and `append` adds its tensors to
  /// a store, one shard after the other. The index must name every tensor of its shards, each in the shard that holds
  /// it.
  public static func read<Shard: Sendable>(
    _ path: String, open: (InputFile) throws -> Shard, append: (Shard, inout TensorStore) throws -> Void
  ) throws -> TensorStore {
    try inFile(path) {
      let root = try JSON.parse(InputFile.contents(of: path, limit: maxByteCount))
      guard root.kind == .object, let map = root["weight_map"], map.kind == .object else {
        throw BessemerError(.shardIndex, "no index: expected an object with an object \"weight_map\"")
      }
      let counts = try tensorCounts(map)
      var store = TensorStore()
      store.reserveCapacity(map.count)
      let folder = try InputFolder(of: path)
      let shards = counts.sorted { $0.key < $1.key }
      for start in stride(from: 0, to: shards.count, by: batchCount) {
        let batch = shards[start..<min(shards.count, start + batchCount)]
        let opened = try results(batch.map(\.key)) { try open(folder.open($0.string, links: .followed)) }
        for ((shard, count), result) in zip(batch, opened) {
          do {
            let first = store.entries.count
            try append(result.get(), &store)
            try check(store.entries[first...], count, map, shard)
          } catch let error as BessemerError {
            throw BessemerError(error.code, "shard \(quoted(shard.string)): \(error.message)", file: path)
          }
        }
      }
      return store
    }
  }

  /// What `body` makes of each name, on several threads.
  private static func results<Shard: Sendable>(
    _ names: [TensorName], _ body: (TensorName) throws -> Shard
  ) throws -> [Result<Shard, any Error>] {
    let results = Mutex<[Int: Result<Shard, any Error>]>([:])
    try parallel(min(threadCount, names.count)) { thread in
      for index in stride(from: thread, to: names.count, by: threadCount) {
        let result = Result { try body(names[index]) }
        results.withLock { $0[index] = result }
      }
    }
    return results.withLock { results in names.indices.compactMap { results[$0] } }
  }

  /// How many tensors the index has in each shard; all file names are checked.
  private static func tensorCounts(_ map: JSON) throws -> [TensorName: Int] {
    guard map.count > 0 else { throw BessemerError(.shardIndex, "the weight_map is empty") }
    var counts: [TensorName: Int] = [:]
    // Neighbours mostly share their shard, so they are counted together.
    var run: (shard: TensorName, count: Int)?
    for (tensor, value) in map.members {
      if let current = run, value.isString(current.shard.string) {
        run = (current.shard, current.count + 1)
      } else {
        guard let shard = value.string.map({ TensorName($0) }) else {
          let found = "\(value.summary) at byte \(value.byteOffset)"
          throw BessemerError(
            .shardIndex, "the shard of tensor \(quoted(tensor)) is \(found), expected a file name")
        }
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
      guard let expected = map[entry.name.string] else {
        throw BessemerError(.shardIndex, "holds tensor \(quoted(entry.name.string)), which the index lacks")
      }
      guard expected.isString(shard.string) else {
        throw BessemerError(
          .shardIndex,
          "holds tensor \(quoted(entry.name.string)), which the index has in \(quoted(expected.string ?? ""))")
      }
    }
    guard entries.count != count else { return }
    let present = Set(entries.map(\.name))
    let absent = map.members.filter { name, value in
      value.isString(shard.string) && !present.contains(TensorName(name))
    }
    throw BessemerError(
      .shardIndex,
      "lacks tensor \(quoted(absent.first?.key ?? ""))" + (absent.count > 1 ? " and \(absent.count - 1) more" : "")
        + ", which the index has in it")
  }
}
