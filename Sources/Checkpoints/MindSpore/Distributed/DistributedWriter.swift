internal import Tensors

/// Writes what each device of a distributed run loads: a folder `rank_N` with one checkpoint for each.
///
/// A parameter of the strategy is cut as its layout says, and goes to the ranks of its stages; any other tensor goes
/// whole to all ranks.
struct DistributedWriter: WritableCheckpointFormat {
  private let file: any ConfigurableFileFormat
  private let strategy: Strategy

  init(_ file: any ConfigurableFileFormat, strategy: Strategy) {
    self.file = file
    self.strategy = strategy
  }

  var name: String { "mindspore-distributed" }
  var suffixes: [String] { [] }
  var summary: String { "a folder of ranks" }
  var keepsMetadata: Bool { file.keepsMetadata }
  var writesFolder: Bool { true }

  func recognizes(_ start: [UInt8]) -> Bool { false }
  func read(_ path: String) throws -> TensorStore { try DistributedCheckpoint().read(path) }

  /// Only folders of ranks with nothing else in them are replaced.
  func mayReplace(folder path: String) throws -> Bool {
    let folder = try InputFolder(path: path)
    return try folder.names().allSatisfy { name in
      guard RankFolders.rank(of: name) != nil, let inner = try? InputFolder(path: folder.joined(name)) else {
        return false
      }
      return try inner.holdsOnlyFiles()
        && inner.names().allSatisfy { $0.hasSuffix(".ckpt") || $0.hasSuffix(".safetensors") }
    }
  }

  func problems(_ entries: [CheckpointEntry], metadata: [TensorName: String]) -> [String] {
    var problems = file.problems(entries, metadata: metadata)
    for entry in entries {
      for layout in Set((strategy.layouts[entry.name] ?? [:]).values) {
        let counts = layout.partCounts
        guard counts.count == entry.shape.count, zip(entry.shape, counts).allSatisfy({ $0 % $1 == 0 }) else {
          problems.append(
            "\(TensorType(entry.dtype, shape: entry.shape)) in \(counts) parts (tensor \(quoted(entry.name.string)))")
          continue
        }
      }
    }
    let names = Set(entries.map(\.name))
    let absent = strategy.layouts.keys.filter { !names.contains($0) }
    if absent.count == strategy.layouts.count {
      problems.append("parameters of this strategy, as none is there: \(quoted(absent.min()?.string ?? ""))")
    }
    return problems
  }

  func write(_ entries: [CheckpointEntry], metadata: [TensorName: String], to path: String, overwrite: Bool) throws {
    try inFile(path) { try check(entries, metadata: metadata) }
    let suffix = file.suffixes.first ?? ".safetensors"
    try AtomicFolder.write(to: path, overwrite: overwrite, mayReplace: mayReplace) { folder in
      for rank in 0..<(strategy.stageCount * strategy.deviceCount) {
        let layout = try inFile(path) { try file.layout(self.entries(entries, of: rank), metadata: metadata) }
        try folder.write("rank_\(rank)/checkpoint_\(rank)\(suffix)", byteCount: layout.byteCount) {
          try layout.write($0)
        }
      }
    }
  }

  /// What a rank gets: parameters of the strategy first, then the others.
  private func entries(_ entries: [CheckpointEntry], of rank: Int) throws -> [CheckpointEntry] {
    let (stage, local) = rank.quotientAndRemainder(dividingBy: strategy.deviceCount)
    var listed: [CheckpointEntry] = []
    var others: [CheckpointEntry] = []
    for entry in entries {
      guard let layouts = strategy.layouts[entry.name] else {
        others.append(entry)
        continue
      }
      guard let layout = layouts[stage] else { continue }
      listed.append(try entry.part(layout.parts(of: local), of: layout.partCounts))
    }
    return listed + others
  }
}

extension CheckpointEntry {
  /// The part at `place` of a tensor that is cut into `counts` parts along its dimensions.
  fileprivate func part(_ place: [Int], of counts: [Int]) throws -> CheckpointEntry {
    guard var part = expression else {
      throw BessemerError(
        .unsupportedFeature, "tensor \(quoted(name.string)) cannot be cut, it is made as it is written")
    }
    for (axis, (index, count)) in zip(place, counts).enumerated() where count > 1 {
      let size = part.shape[axis] / count
      part = try part.sliced(axis: axis, first: index * size, count: size)
    }
    return replacing(part)
  }
}
