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
  /// tensor of its shards, each in the shard that holds it.
  public static func read(_ path: String) throws -> TensorStore {
    var status = stat()
    if stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR { return try readFolder(path) }
    if path.hasSuffix(".json") { return try ShardIndex.read(path, append) }
    return try SafetensorsFile(path: path).store()
  }

  private static func readFolder(_ path: String) throws -> TensorStore {
    let folder = try InputFolder(path: path)
    let names = try folder.names()
    if let name = wholeNames.first(where: names.contains) {
      return try SafetensorsFile(folder.open(name, links: .followed)).store()
    }
    let indices = names.filter { $0.hasSuffix(indexSuffix) }
    guard indices.count <= 1 else {
      throw BessemerError(.shardIndex, "holds \(indices.count) indices; name the one to read", file: path)
    }
    if let index = indices.first { return try ShardIndex.read(folder.joined(index), append) }
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

  private static func append(_ file: InputFile, to store: inout TensorStore) throws {
    try SafetensorsFile(file).append(to: &store)
  }
}
