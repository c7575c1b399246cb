internal import Bundle
internal import Digests
internal import IR
internal import Passes
public import Tensors

/// How a model is exported.
public struct ExportOptions: Sendable {
  /// The type of activations.
  public var activation: DType = .float32
  public var passes = PassOptions()
  /// Whether weights are stored as zstd frames.
  public var compress = false
  /// Whether an older bundle may be replaced.
  public var overwrite = false
  public var resources = Resources()
  /// The version of this program, for the manifest.
  public var toolVersion: String

  public init(toolVersion: String) { self.toolVersion = toolVersion }
}

/// Turns a checkpoint into a bundle: the graph fused for a target, weights in the form in which they are used.
public struct Exporter: Sendable {
  public let model: ModelSet
  public let output: String
  public let options: ExportOptions
  /// Operators of the graphs as the bundle stores them: their parameters are plain weights.
  public let operators: OperatorCounts

  private let planned: BundleWriter

  /// What was written, or would be.
  public struct Summary: Sendable {
    /// A tensor of the bundle.
    public struct Weight: Sendable {
      public let name: String
      public let type: TensorType
      /// What was done to it: `unchanged`, `was bf16[4,8]`, or `computed`.
      public let change: String
      /// Before compression.
      public let byteCount: Int
    }

    /// What a narrowing cast did to the values of a tensor.
    public struct Loss: Sendable {
      public let tensor: String
      public let from: DType
      public let to: DType
      public let examined: Int
      public let changed: Int
      public let overflowed: Int
    }

    public let weights: [Weight]
    public let losses: [Loss]
    /// Bytes of the bundle as it is stored; of the weights alone when nothing was written.
    public let byteCount: Int
    public let fileCount: Int
  }

  /// Opens the model and runs the passes; nothing is written yet but the dump of passes.
  ///
  /// Throws ``ErrorCode/outputIsInput`` when `output` is the model, holds it or lies inside, and
  /// ``ErrorCode/outputExists`` when something stands there that may not be replaced.
  public init(_ path: String, to output: String, options: ExportOptions) throws {
    self.output = output
    self.options = options
    let location = try ModelLocation(path)
    try Exporter.checkApart(output, location)
    if case .bundle = location {
      throw BessemerError(.wrongFormat, "is a bundle already; export takes a checkpoint", file: path)
    }
    try Bundles.checkOutput(output, overwrite: options.overwrite, kind: .folder)
    let model = try ModelSet(
      location, options: ModelOptions(activation: options.activation, passes: options.passes))
    self.model = model
    planned = try Exporter.writer(model, options, sources: [])
    operators = planned.graphs.reduce(into: OperatorCounts()) { $0 += OperatorCounts($1) }
  }

  /// What would be written.
  public func plan() -> Summary {
    Summary(weights: weights, losses: [], byteCount: planned.byteCount, fileCount: 0)
  }

  /// Writes the bundle, whole or not at all. `progress` gets the bytes done and the bytes in all, on any thread but
  /// never on two at once; hashing the source counts like writing.
  public func write(progress: @escaping @Sendable (_ done: Int, _ total: Int) -> Void) throws -> Summary {
    let threads = try threadsWithinBudget()
    let sourceByteCount = self.sourceByteCount
    let total = sourceByteCount + planned.byteCount
    let writer = try Exporter.writer(model, options, sources: sources { progress($0, total) })
    let manifest = try writer.write(
      to: output, compress: options.compress, threads: threads, overwrite: options.overwrite
    ) { progress(sourceByteCount + $0.done, total) }
    let extent = Bundles.Extent(manifest)
    let losses = manifest.provenance.losses.map {
      Summary.Loss(
        tensor: $0.tensor, from: $0.from, to: $0.to, examined: $0.count.examined, changed: $0.count.changed,
        overflowed: $0.count.overflowed)
    }
    return Summary(
      weights: weights, losses: losses, byteCount: extent.byteCount, fileCount: extent.fileCount)
  }

  /// The writer of this bundle, made from these files.
  private static func writer(
    _ model: ModelSet, _ options: ExportOptions, sources: [BundleManifest.File]
  ) throws -> BundleWriter {
    var provenance = BundleManifest.Provenance(sources: sources, options: texts(options))
    if let report = model.report {
      provenance.fusions = Dictionary(report.made.map { ($0.result, $0.count) }, uniquingKeysWith: +)
      provenance.declined = report.declined.map { .init(result: $0.result, reason: $0.reason, count: $0.count) }
    }
    return try inFile(model.path) {
      try BundleWriter(
        BundleContents(
          parts: model.components.map { .init(name: $0.name, graph: $0.graph, weights: $0.weights) },
          modelType: model.modelType, target: options.passes.target?.name,
          files: model.files.files.map { ($0.name, $0.bytes) }, provenance: provenance,
          toolVersion: options.toolVersion))
    }
  }

  private static func texts(_ options: ExportOptions) -> [String: String] {
    var texts = [
      "dtype": options.activation.longName, "fuse": "\(options.passes.fuse)", "compress": "\(options.compress)",
    ]
    if let target = options.passes.target { texts["target"] = target.name }
    if let pass = options.passes.stopAfter { texts["stop-after"] = pass }
    return texts
  }

  /// The files that the model was read from, hashed.
  private func sources(progress: (Int) -> Void) throws -> [BundleManifest.File] {
    var done = 0
    var seen: Set<String> = []
    var files: [BundleManifest.File] = []
    for file in model.files.files {
      files.append(
        BundleManifest.File(name: file.name, byteCount: file.bytes.count, sha256: try SHA256.digest(of: file.bytes)))
    }
    for entry in model.checkpoints.flatMap(\.weights.entries) where seen.insert(entry.file).inserted {
      files.append(
        try BundleManifest.File(source: MappedFile(path: entry.file)) { count in
          done += count
          progress(done)
        })
    }
    return files
  }

  private var weights: [Summary.Weight] {
    zip(model.components, planned.tensors).flatMap { component, tensors in
      let prefix = model.components.count == 1 ? "" : component.name + "/"
      return tensors.map { tensor in
        let type = TensorType(tensor.dtype, shape: tensor.shape)
        let source = component.weights[tensor.name]?.type
        let change = source.map { $0 == type ? "unchanged" : "was \($0)" } ?? "computed"
        return Summary.Weight(
          name: prefix + tensor.name.string, type: type, change: change, byteCount: tensor.byteCount)
      }
    }
  }

  /// Bytes of the weights that are read.
  public var sourceByteCount: Int { model.checkpoints.reduce(0) { $0 + $1.weights.byteCount } }

  /// How many threads fit in the memory that may be used; throws ``ErrorCode/memory`` when not even one does.
  private func threadsWithinBudget() throws -> Int {
    guard let limit = options.resources.memoryLimit else { return options.resources.threads }
    let used = Machine.privateByteCount
    let fitting = (limit - used - Exporter.fixedByteCount) / Exporter.byteCountPerThread
    guard fitting >= 1 else {
      let least = (used + Exporter.fixedByteCount + Exporter.byteCountPerThread) >> 20
      throw BessemerError(
        .memory, "--max-memory allows \(limit >> 20) MiB, the export needs about \(least) MiB", file: model.path)
    }
    return min(options.resources.threads, fitting)
  }

  /// Memory beside that of the threads: buffers of files, the manifest.
  private static let fixedByteCount = 8 << 20
  /// Memory of two pieces that a thread works on: content, planes, frame and the state of the compressor.
  private static let byteCountPerThread = 24 << 20

  /// Throws when the output is the input, holds it or lies inside it.
  private static func checkApart(_ output: String, _ location: ModelLocation) throws {
    guard let input = realPath(location.modelFolder), let target = realPath(output) else { return }
    func holds(_ outer: String, _ inner: String) -> Bool { inner.hasPrefix(outer == "/" ? "/" : outer + "/") }
    if target == input { throw BessemerError(.outputIsInput, "is the model itself", file: output) }
    if holds(input, target) { throw BessemerError(.outputIsInput, "lies inside the model's folder", file: output) }
    if holds(target, input) { throw BessemerError(.outputIsInput, "holds the model", file: output) }
  }
}
