public import Tensors

/// Writes tensors to several safetensors files with an index, as Hugging Face lays out large models.
///
/// Tensors are dealt to shards in the given order; a shard is closed before it would exceed the limit, so only a single
/// larger tensor makes a larger shard. Files are `model-00001-of-0000N.safetensors` and `model.safetensors.index.json`,
/// written last; when all fits into one shard, only `model.safetensors` is written.
public struct ShardedWriter: Sendable {
  /// The files with tensors.
  public let shards: [(name: String, writer: SafetensorsWriter)]
  /// The index, when there are several.
  public let index: (name: String, text: [UInt8])?
  /// The bytes of all tensors together.
  public let dataByteCount: Int

  /// Lays out all files. `stem` is what their names start with.
  public init(
    _ entries: [SafetensorsWriter.Entry], metadata: [TensorName: String] = [:], maxShardByteCount: Int,
    stem: String = "model", order: SafetensorsWriter.Order = .reference
  ) throws {
    let groups = ShardedWriter.deal(entries, maxShardByteCount)
    var writers: [SafetensorsWriter] = []
    for group in groups { writers.append(try SafetensorsWriter(group, metadata: metadata, order: order)) }
    let total = writers.reduce(0) { $0 + $1.dataByteCount }
    dataByteCount = total
    guard writers.count > 1 else {
      shards = writers.map { ("\(stem).safetensors", $0) }
      index = nil
      return
    }
    let names = groups.indices.map { "\(stem)-\(pad($0 + 1))-of-\(pad(groups.count)).safetensors" }
    shards = Array(zip(names, writers))
    var map: [(tensor: TensorName, shard: String)] = []
    for (group, name) in zip(groups, names) { map += group.map { ($0.name, name) } }
    map.sort { $0.tensor < $1.tensor }
    for (a, b) in zip(map, map.dropFirst()) where a.tensor == b.tensor {
      throw BessemerError(.duplicateName, "tensor \(quoted(a.tensor.string)) occurs twice")
    }
    var json = JSONWriter()
    json.object { json in
      json.object("metadata") { $0.member("total_size", total) }
      json.object("weight_map") { json in for (tensor, shard) in map { json.member(tensor.string, shard) } }
    }
    index = ("\(stem).safetensors.index.json", json.utf8 + [UInt8(ascii: "\n")])
  }

  /// The names of all files, the index last.
  public var fileNames: [String] { shards.map(\.name) + (index.map { [$0.name] } ?? []) }

  /// Writes all files into a folder that appears when it is committed.
  public func write(to folder: AtomicFolder) throws {
    for (name, writer) in shards { try folder.write(name, byteCount: writer.byteCount) { try writer.write(to: $0) } }
    if let index { try folder.write(index.name, byteCount: index.text.count) { try $0.write(index.text) } }
  }

  private static func deal(_ entries: [SafetensorsWriter.Entry], _ limit: Int) -> [[SafetensorsWriter.Entry]] {
    var groups: [[SafetensorsWriter.Entry]] = [[]]
    var size = 0
    for entry in entries {
      let byteCount = Tensor.byteCount(entry.dtype, shape: entry.shape) ?? 0
      if size > 0, byteCount > limit - size {
        groups.append([])
        size = 0
      }
      groups[groups.count - 1].append(entry)
      size += byteCount
    }
    return groups
  }
}

/// A number in five digits or more.
private func pad(_ number: Int) -> String {
  let digits = String(number)
  return String(repeating: "0", count: max(0, 5 - digits.count)) + digits
}
