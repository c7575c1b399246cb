internal import Safetensors
public import Tensors

/// A whole model as MindSpore's `unified_safetensors` leaves it: a folder of `part0.safetensors` and so on, and
/// `param_name_map.json`, which says where each parameter is. What the strategy of the input does not know, such as the
/// number of steps, stands in `hyper_param.safetensors`.
public struct UnifiedSafetensors: WritableCheckpointFormat {
  private var strategy: Strategy?
  /// Bytes of tensors for each part.
  static let partByteCount = 3 << 30

  public init() {}

  /// Takes the strategy that tells weights from what else a training keeps.
  func writing(weightsOf path: String?) throws -> UnifiedSafetensors {
    var copy = self
    copy.strategy = try path.map { try Strategy(path: $0) }
    return copy
  }

  public var name: String { "mindspore-unified" }
  public var suffixes: [String] { [] }
  public var summary: String { "a folder of safetensors with param_name_map.json, as unified_safetensors makes it" }
  public var keepsMetadata: Bool { true }
  public var writesFolder: Bool { true }

  static let indexName = "param_name_map.json"
  static let othersName = "hyper_param.safetensors"
  /// What gradients are accumulated in, which is no part of a model.
  private static let gradientPrefix = "accu_grads"

  public func recognizes(_ start: [UInt8]) -> Bool { false }
  public func recognizes(folder names: [String]) -> Bool { names.contains(Self.indexName) }

  public func read(_ path: String) throws -> TensorStore {
    try MindSporeSafetensors.withoutChecksum(SafetensorsCheckpoint.read(path, check: MindSporeSafetensors.check))
  }

  public func mayReplace(folder path: String) throws -> Bool {
    let folder = try InputFolder(path: path)
    return try folder.holdsOnlyFiles()
      && folder.names().allSatisfy { $0 == Self.indexName || $0.hasSuffix(".safetensors") }
  }

  public func problems(_ entries: [CheckpointEntry], metadata: [TensorName: String]) -> [String] {
    MindSporeSafetensors().problems(entries, metadata: metadata)
  }

  public func write(_ entries: [CheckpointEntry], metadata: [TensorName: String], to path: String, overwrite: Bool)
    throws
  {
    try inFile(path) { try check(entries, metadata: metadata) }
    func isWeight(_ entry: CheckpointEntry) -> Bool {
      !entry.name.string.hasPrefix(Self.gradientPrefix) && strategy?.layouts.keys.contains(entry.name) ?? true
    }
    let weights = entries.filter { isWeight($0) }
    let others = entries.filter { !isWeight($0) }
    let parts = deal(weights)
    let total = weights.reduce(0) { $0 + ($1.byteCount ?? 0) }
    var json = JSONWriter()
    json.object { json in
      json.object("metadata") { $0.member("total_size", total) }
      json.object("weight_map") { json in
        for (index, part) in parts.enumerated() {
          for entry in part { json.member(entry.name.string, "part\(index).safetensors") }
        }
      }
    }
    try AtomicFolder.write(to: path, overwrite: overwrite, mayReplace: mayReplace) { folder in
      for (index, part) in parts.enumerated() { try write(part, metadata, "part\(index).safetensors", folder) }
      if !others.isEmpty { try write(others, metadata, Self.othersName, folder) }
      try folder.write(Self.indexName) { try $0.write(json.utf8 + [UInt8(ascii: "\n")]) }
    }
  }

  /// Writes one file with the metadata that is about its tensors or about none.
  private func write(
    _ entries: [CheckpointEntry], _ metadata: [TensorName: String], _ name: String, _ folder: AtomicFolder
  ) throws {
    let own = Set(entries.map(\.name))
    let texts = metadata.filter { $0.value != MindSporeTypes.packedInt4 || own.contains($0.key) }
    let layout = try MindSporeSafetensors().layout(entries, metadata: texts)
    try folder.write(name, byteCount: layout.byteCount) { try layout.write($0) }
  }

  /// Deals tensors to parts, the largest first, each to the part that is smallest so far.
  private func deal(_ entries: [CheckpointEntry]) -> [[CheckpointEntry]] {
    let total = entries.reduce(0) { $0 + ($1.byteCount ?? 0) }
    let count = min(entries.count, (total + Self.partByteCount - 1) / Self.partByteCount)
    guard count > 1 else { return entries.isEmpty ? [] : [entries] }
    var parts = [[CheckpointEntry]](repeating: [], count: count)
    var sizes = [Int](repeating: 0, count: count)
    for entry in entries.sorted(by: { ($1.byteCount ?? 0, $0.name) < ($0.byteCount ?? 0, $1.name) }) {
      let least = sizes.indices.min { sizes[$0] < sizes[$1] } ?? 0
      parts[least].append(entry)
      sizes[least] += entry.byteCount ?? 0
    }
    return parts
  }
}
