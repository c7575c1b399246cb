internal import Glibc
public import Tensors

/// A checkpoint of one or more safetensors files.
public enum SafetensorsCheckpoint {
  private static let indexSuffix = ".safetensors.index.json"
  private static let fileSuffix = ".safetensors"
  /// What transformers and diffusers name a checkpoint of one file.
  private static let wholeNames = ["model.safetensors", "diffusion_pytorch_model.safetensors"]

  /// Opens a checkpoint without touching a byte of its tensors.
  ///
  /// `path` is a `.safetensors` file, an index (`*.json`, with its shards beside it), or a folder. Of a folder,
  /// `model.safetensors` or `diffusion_pytorch_model.safetensors` is taken if it is there, else the one
  /// `*.safetensors.index.json`, else all `*.safetensors` files, which must not share a name. An index must name every
  /// tensor of its shards, each in the shard that holds it. `check` is called for each file before its tensors are
  /// taken. A text that has the name of a tensor, under a key with a dot, is another name of that tensor, as
  /// safetensors' own `save_model` writes it.
  public static func read(_ path: String, check: (SafetensorsFile) throws -> Void = { _ in }) throws -> TensorStore {
    var store = try files(path, check)
    let names = store.metadata.filter { $0.key.string.utf8.contains(UInt8(ascii: ".")) && store[$0.key] == nil }
    for (name, first) in names.sorted(by: { $0.key < $1.key }) {
      guard let entry = store[TensorName(first)] else { continue }
      try store.append(entry.renamed(name))
      store.metadata[name] = nil
    }
    return store
  }

  private static func files(_ path: String, _ check: (SafetensorsFile) throws -> Void) throws -> TensorStore {
    func append(_ file: SafetensorsFile, _ store: inout TensorStore) throws {
      try inFile(file.path) {
        try check(file)
        try file.append(to: &store)
      }
    }
    var status = stat()
    if stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR { return try readFolder(path, append) }
    if path.hasSuffix(".json") { return try ShardIndex.read(path, open: { try SafetensorsFile($0) }, append: append) }
    var store = TensorStore()
    try append(SafetensorsFile(path: path), &store)
    return store
  }

  private static func readFolder(
    _ path: String, _ append: (SafetensorsFile, inout TensorStore) throws -> Void
  ) throws -> TensorStore {
    let folder = try InputFolder(path: path)
    let names = try folder.names()
    var store = TensorStore()
    if let name = wholeNames.first(where: names.contains) {
      try append(SafetensorsFile(folder.open(name, links: .followed)), &store)
      return store
    }
    let indices = names.filter { $0.hasSuffix(indexSuffix) }
    guard indices.count <= 1 else {
      throw BessemerError(.shardIndex, "holds \(indices.count) indices; name the one to read", file: path)
    }
    if let index = indices.first {
      return try ShardIndex.read(folder.joined(index), open: { try SafetensorsFile($0) }, append: append)
    }
    let files = names.filter { $0.hasSuffix(fileSuffix) }
    guard !files.isEmpty else {
      throw BessemerError(.fileMissing, "holds neither *.safetensors nor an index of them", file: path)
    }
    for name in files { try append(SafetensorsFile(folder.open(name, links: .followed)), &store) }
    return store
  }
}
