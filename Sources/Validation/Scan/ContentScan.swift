public import Digests
public import Tensors

/// What reading all bytes of tensors says of them.
public struct ContentScan: Sendable {
  /// By the order of the tensors; nil when not asked for.
  public private(set) var statistics: [TensorStatistics]?
  public private(set) var digests: [Digest]?

  /// Reads each tensor once. `progress` gets the bytes done and in all.
  public init(
    _ entries: [TensorStore.Entry], statistics: Bool, digests: Bool, threads: Int,
    progress: @escaping @Sendable (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws {
    let scan = TensorScan(threads: threads, total: entries.reduce(0) { $0 + $1.byteCount }, progress: progress)
    let numbers = Dictionary(uniqueKeysWithValues: Set(entries.map(\.dtype)).map { ($0, Numbers($0)) })
    var (allStatistics, allDigests): ([TensorStatistics], [Digest]) = ([], [])
    try scan.run(entries) { index, piece in
      (
        statistics ? try TensorStatistics(numbers[entries[index].dtype] ?? Numbers(entries[index].dtype), piece) : nil,
        digests ? piece.withUnsafeBytes { SHA256.digest(of: $0) } : nil
      )
    } reduce: { index, parts in
      if statistics { allStatistics.append(TensorStatistics(parts.compactMap(\.0))) }
      guard digests else { return }
      let hasher = TensorHasher(entries[index].dtype, shape: entries[index].shape)
      for part in parts { if let leaf = part.1 { hasher.update(leaf: leaf) } }
      allDigests.append(hasher.finish())
    }
    self.statistics = statistics ? allStatistics : nil
    self.digests = digests ? allDigests : nil
  }
}
