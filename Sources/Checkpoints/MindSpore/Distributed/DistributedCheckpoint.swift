public import Tensors

/// The checkpoints of all devices of a distributed training, merged into one model by its strategy.
///
/// A part of a parameter is taken from the first rank that holds it, so that ranks without what others hold too
/// (`remove_redundancy`) are complete together. Parameters that the strategy does not know are taken as they are.
public struct DistributedCheckpoint: ConfigurableCheckpointFormat {
  private var options = ReadOptions()

  public init() {}

  public var name: String { "mindspore-distributed" }
  public var suffixes: [String] { [] }
  public var summary: String { "a folder of rank_N with a MindSpore checkpoint each, and their strategy file" }

  public func recognizes(_ start: [UInt8]) -> Bool { false }
  public func recognizes(folder names: [String]) -> Bool { names.contains { RankFolders.rank(of: $0) != nil } }

  public func reading(with options: ReadOptions) -> DistributedCheckpoint {
    var copy = self
    copy.options = options
    return copy
  }

  public func read(_ path: String) throws -> TensorStore {
    let folders = try RankFolders(path: path)
    guard let strategyPath = options.strategy else {
      guard folders.files.count == 1 else {
        throw BessemerError(
          .strategy, "holds \(folders.files.count) ranks; pass the strategy that they were written with (--strategy)",
          file: path)
      }
      return try read(folders.files[0].file, options)
    }
    let strategy = try Strategy(path: strategyPath)
    var ranks: [Int: TensorStore] = [:]
    for (rank, file) in folders.files {
      try Interrupt.check()
      guard rank < strategy.stageCount * strategy.deviceCount else {
        throw BessemerError(
          .strategy, "holds rank \(rank), the strategy has \(strategy.stageCount * strategy.deviceCount) devices",
          file: path)
      }
      ranks[rank] = try read(file, options)
    }
    return try inFile(path) { try DistributedCheckpoint.merge(ranks, strategy) }
  }

  private func read(_ file: String, _ options: ReadOptions) throws -> TensorStore {
    guard file.hasSuffix(".safetensors") else { return try MindSporeCheckpoint().reading(with: options).read(file) }
    return try MindSporeSafetensors().read(file)
  }

  /// One store of all ranks: parameters of the strategy in the order in which ranks first name them, then the others.
  static func merge(_ ranks: [Int: TensorStore], _ strategy: Strategy) throws -> TensorStore {
    var listed: [TensorStore.Entry] = []
    var others: [TensorStore.Entry] = []
    var names: Set<TensorName> = []
    var merged = TensorStore()
    let held = Dictionary(grouping: ranks.sorted { $0.key < $1.key }) { $0.key / strategy.deviceCount }
    for (_, store) in ranks.sorted(by: { $0.key < $1.key }) {
      for entry in store.entries where names.insert(entry.name).inserted {
        if let layouts = strategy.layouts[entry.name] {
          listed.append(try merge(entry.name, layouts, held))
        } else {
          others.append(entry)
        }
      }
      merged.metadata.merge(store.metadata) { first, _ in first }
    }
    for entry in listed + others { try merged.append(entry) }
    if merged.metadata[MindSporeSafetensors.redundancyKey] != nil {
      merged.metadata[MindSporeSafetensors.redundancyKey] = "False"
    }
    return merged
  }

  /// A parameter of all ranks; `held` has these by stage, in order.
  private static func merge(
    _ name: TensorName, _ layouts: [Int: ParameterLayout], _ held: [Int: [(key: Int, value: TensorStore)]]
  ) throws -> TensorStore.Entry {
    func refuse(_ code: ErrorCode, _ what: String) -> BessemerError {
      BessemerError(code, "parameter \(quoted(name.string)) \(what)")
    }
    // Of a parameter that several stages share, the first one that has it.
    let found = layouts.sorted { $0.key < $1.key }.lazy.map { stage, layout in
      (stage, layout, (held[stage] ?? []).compactMap { rank, store in store[name].map { (rank, $0) } })
    }.first { !$0.2.isEmpty }
    guard let (stage, layout, entries) = found, let first = entries.first?.1 else {
      throw refuse(.strategy, "is held by ranks of other stages than the strategy says")
    }
    var parts: [[Int]: TensorStore.Entry] = [:]
    for (rank, entry) in entries {
      guard entry.type == first.type else {
        throw refuse(.tensorLayout, "has the type \(first.type) in \(first.file), and \(entry.type) in \(entry.file)")
      }
      let place = layout.parts(of: rank % layout.deviceCount)
      if parts[place] == nil { parts[place] = entry }
    }
    guard layout.axes.count == first.shape.count else {
      throw refuse(
        .strategy, "has the type \(first.type) in \(first.file), but \(layout.axes.count) dimensions in the strategy")
    }
    func join(_ dimension: Int, _ place: [Int]) throws -> TensorExpression {
      guard dimension < first.shape.count else {
        guard let part = parts[place] else {
          let holders = (0..<layout.deviceCount).filter { layout.parts(of: $0) == place }
          let list = holders.prefix(8).map { String(stage * layout.deviceCount + $0) }.joined(separator: ", ")
          throw refuse(.weights, "lacks the part \(place) of \(layout.partCounts), which rank \(list) would hold")
        }
        return TensorExpression(part)
      }
      return try TensorExpression.concat(
        (0..<layout.partCounts[dimension]).map { try join(dimension + 1, place + [$0]) }, axis: dimension)
    }
    return TensorStore.Entry(name, try join(0, []), file: first.file)
  }
}
