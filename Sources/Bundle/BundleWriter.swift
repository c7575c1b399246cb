internal import Glibc
public import IR
internal import Safetensors
public import Tensors

/// What a bundle is made of.
public struct BundleContents: Sendable {
  /// The graphs after all passes, the main one first.
  public var parts: [Part]
  /// Tokenizer, configuration and other files to carry along, by plain name.
  public var files: [(name: String, bytes: Bytes)]
  public var modelType: String
  /// The chip that the graph was prepared for.
  public var target: String?
  public var provenance: BundleManifest.Provenance
  /// The version of this program.
  public var toolVersion: String

  /// A graph to store.
  public struct Part: Sendable {
    /// `model` for one that stands alone.
    public var name: String
    public var graph: Graph
    /// What its weights are taken from.
    public var weights: TensorStore

    public init(name: String = "model", graph: Graph, weights: TensorStore) {
      self.name = name
      self.graph = graph
      self.weights = weights
    }
  }

  public init(
    parts: [Part], modelType: String, target: String? = nil, files: [(name: String, bytes: Bytes)] = [],
    provenance: BundleManifest.Provenance = .init(), toolVersion: String
  ) {
    precondition(!parts.isEmpty, "a bundle without a graph")
    self.parts = parts
    self.modelType = modelType
    self.target = target
    self.files = files
    self.provenance = provenance
    self.toolVersion = toolVersion
  }
}

/// How far a long piece of work is.
public struct BundleProgress: Sendable {
  /// Bytes done and bytes in all; the totals of a compressed bundle count what is compressed.
  public let done: Int
  public let total: Int
  /// The tensor or file that was worked on.
  public let name: String
}

/// Writes bundles: lays the weights out first, so that a dry run can tell, then writes everything, whole or nothing.
public struct BundleWriter: Sendable {
  /// A weight as it will be stored.
  public struct Tensor: Sendable {
    public let name: TensorName
    public let dtype: DType
    public let shape: [Int]
    public let layout: WeightLayout
    /// Before compression.
    public let byteCount: Int
  }

  /// A shard is closed before it would exceed this; only a single larger tensor makes a larger one.
  static let maximumShardByteCount = 4 << 30

  /// A graph as it will be stored: its parameters are plain weights.
  struct Part: Sendable {
    let name: String
    let files: BundleManifest.Part
    let graph: Graph
    let tensors: [StoredTensor]

    var byteCount: Int { tensors.reduce(0) { $0 + $1.byteCount } }
  }

  let contents: BundleContents
  let parts: [Part]
  let shardByteCount: Int

  /// Throws ``ErrorCode/graph`` or ``ErrorCode/weights`` for a graph that does not fit its weights, ``ErrorCode/usage``
  /// for a file name that cannot be carried.
  public init(_ contents: BundleContents) throws {
    try self.init(contents, shardByteCount: BundleWriter.maximumShardByteCount)
  }

  init(_ contents: BundleContents, shardByteCount: Int) throws {
    self.contents = contents
    self.shardByteCount = shardByteCount
    parts = try contents.parts.map { part in
      let stored = try StoredGraph(part.graph)
      let reader = ParameterReader(stored.original, weights: part.weights)
      let tensors = try stored.tensors.map { try StoredTensor($0, reader: reader) }
      try BundleWriter.check(stored.original, part.weights)
      let files = BundleManifest.Part(part.name, isAlone: contents.parts.count == 1)
      return Part(name: part.name, files: files, graph: stored.graph, tensors: tensors)
    }
    try checkFileNames()
  }

  /// Throws unless every file has a plain name of its own.
  private func checkFileNames() throws {
    var names: Set<TensorName> = [TensorName(BundleManifest.fileName)]
    for part in parts {
      try BundleManifest.checkFileName(part.files.graph)
      guard names.insert(TensorName(part.files.graph)).inserted else {
        throw BessemerError(.usage, "two graphs are named \(quoted(part.name))")
      }
      names.formUnion([TensorName(part.files.compressedWeights), TensorName(part.files.compressedIndex)])
    }
    let own = parts.map { $0.files.compressedWeights.dropLast(".bsz".count) }
    for (name, _) in contents.files {
      try BundleManifest.checkFileName(name)
      guard names.insert(TensorName(name)).inserted, !own.contains(where: name.hasPrefix) else {
        throw BessemerError(.usage, "a file named \(quoted(name)) cannot be carried in a bundle")
      }
    }
  }

  /// The graphs as they will be stored: their parameters are plain weights.
  public var graphs: [Graph] { parts.map(\.graph) }

  /// The weights of each graph in the order of their first use.
  public var tensors: [[Tensor]] {
    parts.map { part in
      part.tensors.map {
        Tensor(name: $0.name, dtype: $0.dtype, shape: $0.shape, layout: $0.layout, byteCount: $0.byteCount)
      }
    }
  }

  /// The bytes of all weights before compression.
  public var byteCount: Int { parts.reduce(0) { $0 + $1.byteCount } }

  /// Writes the folder `path` and returns its manifest. `inputs` are files, beside those that are mapped, that must not
  /// be overwritten. An existing folder is replaced only with `overwrite`, and if it is a bundle or holds nothing but
  /// plain files. `progress` may be called on any thread, but never on two at once.
  @discardableResult
  public func write(
    to path: String, compress: Bool = false, threads: Int = 1, overwrite: Bool = false, inputs: [FileIdentity] = [],
    progress: @escaping @Sendable (BundleProgress) -> Void = { _ in }
  ) throws -> BundleManifest {
    let run = BundleRun(self, threads: threads, progress: progress)
    try AtomicFolder.write(
      to: path, overwrite: overwrite, inputs: inputs,
      mayReplace: { try Bundle.isBundleFolder($0) || InputFolder(path: $0).holdsOnlyFiles() }
    ) { folder in
      run.folder = folder
      if !compress { try folder.ensureRoom(roomNeeded) }
      for part in parts { try run.write(part, compress: compress) }
      for (name, bytes) in contents.files { try run.writeFile(name, byteCount: bytes.count) { try $0.write(bytes) } }
      try folder.write(BundleManifest.fileName) { try $0.write(run.manifest.text) }
    }
    return run.manifest
  }

  /// Bytes that the folder takes without compression, with room for the lines of the manifest and of headers.
  private var roomNeeded: Int {
    let files = contents.files.reduce(0) { $0 + $1.bytes.count }
    return parts.reduce(files) { $0 + $1.byteCount + $1.graph.text.utf8.count + 8192 + 512 * $1.tensors.count }
  }

  /// All weights that are missing or of another type, at once.
  private static func check(_ graph: Graph, _ weights: TensorStore) throws {
    var problems: [String] = []
    for id in graph.nodeIDs {
      guard let op = graph[id].op as? Weight else { continue }
      let type = TensorType(op.dtype, shape: op.shape)
      guard let entry = weights[op.name] else {
        problems.append("\(escaped(op.name.string, limit: 80)) is missing")
        continue
      }
      if entry.type != type {
        problems.append("\(escaped(op.name.string, limit: 80)) is \(entry.type), the graph says \(type)")
      }
    }
    guard let first = problems.first else { return }
    let more = problems.count > 1 ? " and \(problems.count - 1) more" : ""
    throw BessemerError(.weights, "the weights do not fit the graph: \(first)\(more)", details: problems)
  }
}
