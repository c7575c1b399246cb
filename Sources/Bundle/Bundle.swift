import Digests
public import IR
internal import Safetensors
public import Tensors

/// A runnable model: graphs with their weights, tokenizer and configuration, and a manifest that says where they come
/// from.
///
/// Opening checks everything but the bytes of the weights: the manifest and all texts by digest, names, sizes, the
/// graphs, and that they and their weights fit each other. ``verify(progress:)`` checks the rest. Weights stay in their
/// files until they are used; compressed ones are decompressed whenever they are loaded, so keep what is needed twice.
public struct Bundle: Sendable {
  /// The path as it was given.
  public let path: String
  public let manifest: BundleManifest
  /// In the order of the manifest; at least one.
  public let parts: [Part]
  let files: BundleFiles

  /// A graph of the bundle.
  public struct Part: Sendable {
    /// `model`, or where there are several, `transformer` or `vae/decoder`.
    public let name: String
    public let graph: Graph
    /// Exactly the tensors that the manifest counts; each `weight` of the graph is among them.
    public let weights: TensorStore
  }

  /// Bytes of a graph's text that are read.
  static let maximumGraphByteCount = 1 << 29

  /// Opens a folder or a packed file. `threads` decompress weights; `memoryLimit` bounds the bytes of one decompressed
  /// tensor.
  ///
  /// Throws ``ErrorCode/wrongFormat`` for what is no bundle, ``ErrorCode/unsupportedFeature`` for another version,
  /// ``ErrorCode/bundle`` when manifest and files disagree, ``ErrorCode/digest`` for a text that was changed.
  public init(path: String, threads: Int = 1, memoryLimit: Int = .max) throws {
    self.path = path
    let files = try BundleFiles(path: path)
    self.files = files
    let manifest = try inFile(files.path(of: BundleManifest.fileName)) {
      try BundleManifest(text: files.read(BundleManifest.fileName, limit: BundleManifest.maximumByteCount))
    }
    self.manifest = manifest
    try inFile(path) { try Bundle.check(files, manifest) }
    parts = try manifest.graphs.map { entry in
      let graph = try inFile(files.path(of: entry.file)) {
        let bytes = try Bundle.text(entry.file, files, manifest, limit: Bundle.maximumGraphByteCount)
        guard let text = bytes.withUnsafeBytes({ String(validating: $0, as: UTF8.self) }) else {
          throw BessemerError(.graphText, "is not UTF-8")
        }
        return try Graph(text: text)
      }
      let weights =
        switch entry.weights.container {
        case .safetensors: try Bundle.safetensors(files, entry.weights)
        case .zstd:
          try Bundle.compressed(files, manifest, entry, threads: threads, memoryLimit: memoryLimit)
        }
      let part = Part(name: entry.name, graph: graph, weights: weights)
      try inFile(path) { try part.check(against: entry) }
      return part
    }
  }

  /// The graph of a bundle that has one, or the main one.
  public var graph: Graph { parts[0].graph }
  /// Its weights.
  public var weights: TensorStore { parts[0].weights }

  /// Whether a bundle stands at `path`, whole or damaged: a folder with our manifest, or a packed file.
  public static func isBundle(_ path: String) -> Bool { isBundleFolder(path) || PackedBundle.isPacked(path) }

  static func isBundleFolder(_ path: String) -> Bool {
    guard let file = try? InputFolder(path: path).open(BundleManifest.fileName, links: .refused),
      let json = try? JSON.parse(file.readAll(limit: BundleManifest.maximumByteCount))
    else { return false }
    return BundleManifest.recognizes(json)
  }

  /// The names of the files that the bundle carries along: tokenizer, configuration and the like.
  public var fileNames: [String] {
    let own = Set(manifest.graphFiles)
    return manifest.files.map(\.name).filter { !own.contains($0) }
  }

  /// The content of a file of the bundle, of at most `limit` bytes, whose digest is checked.
  /// Throws ``ErrorCode/fileMissing`` when the bundle has none of this name.
  public func file(_ name: String, limit: Int = 1 << 30) throws -> Bytes {
    try inFile(files.path(of: name)) { try Bundle.text(name, files, manifest, limit: limit) }
  }

  /// Hashes every file again. Throws ``ErrorCode/digest`` naming the first that is not what the manifest says.
  public func verify(progress: (BundleProgress) -> Void = { _ in }) throws {
    let total = manifest.files.reduce(0) { $0 + $1.byteCount }
    var done = 0
    for file in manifest.files {
      let digest = try SHA256.digest(of: try files.map(file.name)) { count in
        done += count
        progress(BundleProgress(done: done, total: total, name: file.name))
      }
      guard digest == file.sha256 else { throw Bundle.changed(files.path(of: file.name)) }
    }
  }

  // MARK: Checks

  static func changed(_ path: String) -> BessemerError {
    BessemerError(.digest, "has another SHA-256 than the manifest says: it was damaged or edited", file: path)
  }

  /// A file in memory, its digest checked.
  private static func text(_ name: String, _ files: BundleFiles, _ manifest: BundleManifest, limit: Int) throws -> Bytes
  {
    guard let file = manifest.file(named: name) else {
      throw BessemerError(.fileMissing, "the bundle has no file \(quoted(name))")
    }
    let bytes = try files.read(name, limit: limit)
    guard try SHA256.digest(of: bytes) == file.sha256 else { throw changed(files.path(of: name)) }
    return bytes
  }

  /// Compares what is there with what is listed.
  private static func check(_ files: BundleFiles, _ manifest: BundleManifest) throws {
    var present = Set(try files.names().map { TensorName($0) })
    present.remove(TensorName(BundleManifest.fileName))
    for file in manifest.files {
      guard present.remove(TensorName(file.name)) != nil else {
        throw BessemerError(.bundle, "lacks \(quoted(file.name)), which the manifest lists")
      }
      let byteCount = try files.byteCount(of: file.name)
      guard byteCount == file.byteCount else {
        throw BessemerError(
          .bundle, "\(quoted(file.name)) has \(byteCount) bytes, the manifest says \(file.byteCount)")
      }
      guard (files.listedDigest(of: file.name) ?? file.sha256) == file.sha256 else {
        throw BessemerError(.bundle, "the index and the manifest give different digests of \(quoted(file.name))")
      }
    }
    if let surplus = present.min() {
      throw BessemerError(.bundle, "holds \(quoted(surplus.string)), which the manifest does not list")
    }
  }

  // MARK: Weights

  private static func safetensors(_ files: BundleFiles, _ weights: BundleManifest.Weights) throws -> TensorStore {
    var store = TensorStore()
    var forms = weights.forms
    for name in weights.files {
      let file = try files.safetensors(name)
      for entry in file.header.entries {
        let window = file.bytes(of: entry)
        var (dtype, shape, layout) = (entry.dtype, entry.shape, WeightLayout.rowMajor)
        if let form = forms.removeValue(forKey: entry.name) {
          (dtype, shape, layout) = (form.dtype, form.shape, form.layout)
          guard StoredTensor.container(dtype, shape: shape, layout) == TensorType(entry.dtype, shape: entry.shape)
          else {
            let type = TensorType(entry.dtype, shape: entry.shape)
            throw BessemerError(
              .tensorLayout, "tensor \(quoted(entry.name.string)) is stored as \(type), which does not hold its form",
              file: file.path)
          }
        }
        try inFile(file.path) {
          try store.append(
            TensorStore.Entry(entry.name, dtype, shape: shape, file: file.path, layout: layout) { window })
        }
      }
    }
    if let surplus = forms.keys.min() {
      throw BessemerError(.bundle, "the manifest has a form for tensor \(quoted(surplus.string)), which is not there")
    }
    return store
  }

  private static func compressed(
    _ files: BundleFiles, _ manifest: BundleManifest, _ entry: BundleManifest.GraphEntry, threads: Int, memoryLimit: Int
  ) throws -> TensorStore {
    guard entry.weights.files.count == 2, entry.weights.forms.isEmpty else {
      throw BessemerError(.bundle, "the manifest does not describe compressed weights as they are written")
    }
    let (data, index) = (entry.weights.files[0], entry.weights.files[1])
    return try inFile(files.path(of: index)) {
      try CompressedWeights.read(
        index: text(index, files, manifest, limit: 1 << 30), data: files.map(data), file: files.path(of: data),
        threads: threads, memoryLimit: memoryLimit)
    }
  }
}

extension Bundle.Part {
  /// Throws unless the graph takes, gives and reads what the manifest says, and its weights are those.
  fileprivate func check(against entry: BundleManifest.GraphEntry) throws {
    let ports = BundleManifest.GraphEntry(name, file: entry.file, graph: graph, weights: entry.weights)
    guard entry == ports else {
      throw BessemerError(.bundle, "the manifest's inputs, states and outputs are not those of the graph")
    }
    let byteCount = weights.entries.reduce(0) { $0 &+ ($1.layout.byteCount($1.dtype, shape: $1.shape) ?? 0) }
    guard entry.weights.tensorCount == weights.entries.count, entry.weights.byteCount == byteCount else {
      throw BessemerError(
        .bundle,
        "holds \(weights.entries.count) tensors of \(byteCount) bytes, the manifest says "
          + "\(entry.weights.tensorCount) of \(entry.weights.byteCount)")
    }
    for id in graph.nodeIDs {
      guard let op = graph[id].op as? Weight else { continue }
      guard let stored = weights[op.name] else {
        throw BessemerError(.weights, "the graph reads weight \(quoted(op.name.string)), which is not there")
      }
      guard stored.dtype == op.dtype, stored.shape == op.shape else {
        throw BessemerError(
          .weights,
          "weight \(quoted(op.name.string)) is \(stored.type), the graph says \(TensorType(op.dtype, shape: op.shape))")
      }
    }
  }
}
