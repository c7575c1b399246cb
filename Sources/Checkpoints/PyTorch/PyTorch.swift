internal import Safetensors
public import Tensors

/// PyTorch's files, `.pt`, `.pth` and `.bin`: a pickle that describes tensors, and their storages.
///
/// The pickle is read by an unpickler of our own, which builds tensors and plain containers and refuses all else by
/// name;
/// see ``PickleGlobal`` for the whole list. Nested containers give dotted names, plain values are metadata.
public struct PyTorch: CheckpointFormat {
  public init() {}

  public var name: String { "pytorch" }
  public var suffixes: [String] { [".pt", ".pth", ".bin", PyTorch.indexSuffix] }
  public var summary: String { "what torch.save writes, of tensors and plain containers; a file, an index or a folder" }

  private static let indexSuffix = ".bin.index.json"
  private static let weightsName = "pytorch_model.bin"

  /// A zip archive whose first member is one of those that `torch.save` begins with, or the old magic number.
  public func recognizes(_ start: [UInt8]) -> Bool {
    if PyTorchStream.recognizes(start) { return true }
    guard start.starts(with: [0x50, 0x4B, 3, 4]), start.count > 30 else { return false }
    let count = Int(start[26]) | Int(start[27]) << 8
    guard start.count >= 30 + count, let slash = start[30..<(30 + count)].firstIndex(of: UInt8(ascii: "/")) else {
      return false
    }
    let name = String(decoding: start[(slash + 1)..<(30 + count)], as: UTF8.self)
    return ["data.pkl", "version", "byteorder", ".format_version", ".storage_alignment"].contains(name)
      || name.hasPrefix("data/")
  }

  public func recognizes(folder names: [String]) -> Bool {
    names.contains { $0 == PyTorch.weightsName || $0.hasSuffix(PyTorch.indexSuffix) }
      && !names.contains { $0.hasSuffix(".safetensors") || $0.hasSuffix(".safetensors.index.json") }
  }

  public func read(_ path: String) throws -> TensorStore {
    if path.hasSuffix(".json") { return try ShardIndex.read(path, open: PyTorch.read, append: PyTorch.append) }
    guard let folder = try? InputFolder(path: path) else { return try PyTorch.read(InputFile(path: path)) }
    let names = try folder.names()
    if names.contains(PyTorch.weightsName) {
      return try PyTorch.read(folder.open(PyTorch.weightsName, links: .followed))
    }
    let indices = names.filter { $0.hasSuffix(PyTorch.indexSuffix) }
    guard let index = indices.first, indices.count == 1 else {
      throw BessemerError(.shardIndex, "holds \(indices.count) indices; name the file to read", file: path)
    }
    return try ShardIndex.read(folder.joined(index), open: PyTorch.read, append: PyTorch.append)
  }

  private static func append(_ shard: TensorStore, to store: inout TensorStore) throws {
    for entry in shard.entries { try store.append(entry) }
    store.metadata.merge(shard.metadata) { first, _ in first }
  }

  private static func read(_ file: InputFile) throws -> TensorStore {
    try inFile(file.path) {
      let start = try file.read(at: 0, count: min(file.byteCount, 512)).array
      if start.starts(with: [0x50, 0x4B]) { return try PyTorchArchive.read(file) }
      if PyTorchStream.recognizes(start) { return try PyTorchStream.read(file) }
      if start.count > 262, start[257..<262].elementsEqual("ustar".utf8) {
        throw BessemerError(
          .unsupportedFeature, "is of PyTorch before version 0.2; load it in PyTorch and save it again")
      }
      let guess = FileGuess.name(start).map { ", it looks like \($0)" } ?? ""
      throw BessemerError(start.isEmpty ? .truncated : .wrongFormat, "not a PyTorch file\(guess)")
    }
  }
}
