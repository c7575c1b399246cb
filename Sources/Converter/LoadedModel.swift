internal import Architectures
internal import Checkpoints
public import IR
public import Passes
internal import Quantization
public import Tensors

/// A model made ready for work: one graph with its weights and the files beside them, from a checkpoint's folder or a
/// bundle.
///
/// This is how every command opens a model; ``ModelSet`` opens all graphs of a path. Nothing of the weights is read;
/// the graph of a checkpoint is built from config.json, with every weight accounted for, and rewritten as the options
/// say; a bundle's graph is taken as it is.
///
/// ```swift
/// let model = try LoadedModel(path: path, options: ModelOptions(passes: PassOptions()))
/// let runnable = Model(model.graph, weights: model.weights, options: RunOptions(threads: 4))
/// ```
public struct LoadedModel: Sendable {
  /// Where a model came from.
  public enum Origin: String, Sendable {
    case checkpoint, bundle
  }

  /// The path as the user named it, or of the folder of the component that this is.
  public let path: String
  public let origin: Origin
  /// What the graph is called among those of the path: `model` if it is the only one, else `transformer` or
  /// `vae/decoder`.
  public let name: String
  /// The `model_type` of config.json.
  public let modelType: String
  public private(set) var graph: Graph
  /// Operators before any pass ran, by name; for a bundle those of its graph.
  public let sourceOperators: OperatorCounts
  public private(set) var weights: TensorStore
  /// The content of config.json.
  public let config: JSON
  /// Configuration and tokenizer files, config.json among them.
  public let files: ModelFiles
  /// What the passes did; nil when none ran.
  public let report: PassReport?
  /// The folder of a pipeline that the model is.
  let folder: String?

  /// Opens the model at `path`: a folder with config.json, a weights file or index in one, or a bundle. Where there are
  /// several graphs, `component` names one.
  public init(path: String, component: String? = nil, options: ModelOptions = ModelOptions()) throws {
    self = try ModelSet(path: path, options: options).component(component)
  }

  /// A graph of a bundle.
  init(path: String, name: String, bundled graph: Graph, weights: TensorStore, files: ModelFiles) throws {
    (self.path, origin, self.name, self.graph, self.weights, self.files) = (path, .bundle, name, graph, weights, files)
    (report, folder) = (nil, nil)
    let config = try LoadedModel.config(files, at: path)
    self.config = config
    modelType = try inFile(path) { try config.modelType }
    sourceOperators = OperatorCounts(graph)
  }

  /// The graphs of a checkpoint, which may be the folder `component` of a pipeline; `opened` are its weights if they
  /// have been opened already.
  static func checkpoint(
    _ location: ModelLocation, in component: String?, _ options: ModelOptions, weights opened: TensorStore? = nil
  ) throws -> [LoadedModel] {
    // A configuration that cannot be is said before any weight is looked at.
    if case .weights(let path) = location, let opened = try LoadedGGUF(path) {
      return try opened.models(options)
    }
    let files = try files(location)
    let config = try config(files, at: location.modelFolder)
    let configPath = files["config.json"]?.path ?? location.path
    _ = try inFile(configPath) { try config.modelType }
    var weights = try opened ?? CheckpointFormats.read(location.path)
    let quantization = try quantization(location.modelFolder, config, &weights)
    if quantization == nil { weights = try inFile(configPath) { try ForeignCheckpoint.decoded(weights, config) } }
    return try models(
      location.path, in: component, options, files: files, config: config, weights, quantization ?? QuantizedWeights())
  }

  /// The graphs of a checkpoint whose weights are numbers, but for those that AscendV1 stores in few bits.
  static func models(
    _ path: String, in component: String?, _ options: ModelOptions, files: ModelFiles, config: JSON,
    _ weights: TensorStore, _ quantization: QuantizedWeights = QuantizedWeights()
  ) throws -> [LoadedModel] {
    let modelType = try config.modelType
    let weights = try options.separatesExperts ? weights.withSeparateExperts() : weights
    var build = BuildOptions(activation: options.activation, isDecoded: true)
    build.quantization = quantization
    let built = try inFile(files["config.json"]?.path ?? path) {
      try buildComponents(config: config, weights: weights, options: build)
    }
    return try built.map { part in
      let name =
        switch component {
        case .some(let folder): built.count == 1 ? folder : "\(folder)/\(part.name)"
        case nil: part.name
        }
      var graph = part.graph
      let operators = OperatorCounts(graph)
      var passes = options.passes
      if built.count > 1 || component != nil { passes?.dumpFolder? += "-" + ModelFiles.plainName(name) }
      let report = try passes.map { try $0.run(on: &graph) }
      return LoadedModel(
        path: path, origin: .checkpoint, name: name, modelType: modelType, graph: graph,
        sourceOperators: operators, weights: weights, config: config, files: files, report: report, folder: component)
    }
  }

  private init(
    path: String, origin: Origin, name: String, modelType: String, graph: Graph, sourceOperators: OperatorCounts,
    weights: TensorStore, config: JSON, files: ModelFiles, report: PassReport?, folder: String?
  ) {
    (self.path, self.origin, self.name, self.modelType, self.graph) = (path, origin, name, modelType, graph)
    (self.sourceOperators, self.weights, self.config, self.files) = (sourceOperators, weights, config, files)
    (self.report, self.folder) = (report, folder)
  }

  /// The same model with another graph of other weights.
  func with(_ graph: Graph, _ weights: TensorStore) -> LoadedModel {
    var model = self
    (model.graph, model.weights) = (graph, weights)
    return model
  }

  /// The bytes of tokenizer.json, if the model has one.
  public var tokenizerJSON: Bytes? { files["tokenizer.json"]?.bytes }

  /// What the model is for, by its outputs and states.
  public var kind: ModelKind { ModelKind(graph) }

  /// Which weights the folder's description says to be quantized, if it has one; `weights` get the types that their
  /// bytes stand for.
  private static func quantization(
    _ path: String, _ config: JSON, _ weights: inout TensorStore
  ) throws -> QuantizedWeights? {
    let folder = try InputFolder(path: path)
    guard let name = try folder.names().filter(AscendV1Reader.isDescription).min() else { return nil }
    let file = try folder.open(name, links: .followed)
    return try inFile(file.path) {
      let reader = try AscendV1Reader(description: JSON.parse(file.readAll(limit: ModelFiles.maximumByteCount)))
      let schemes = try reader.schemes(weights)
      weights = try reader.retyped(weights, schemes)
      let named = (config["dtype"] ?? config["torch_dtype"])?.string.flatMap { DType(spelling: $0) }
      let stored = weights.entries.first { $0.dtype.isFloat && schemes[$0.name] == nil }?.dtype
      return QuantizedWeights(schemes, checkpoint: named ?? stored ?? .float32)
    }
  }

  /// The weights that the graph reads, which may be a part of its checkpoint's.
  public var usedWeights: [TensorStore.Entry] {
    let names = Set(graph.nodeIDs.compactMap { (graph[$0].op as? Weight)?.name })
    return weights.entries.filter { names.contains($0.name) }
  }

  private static func files(_ location: ModelLocation) throws -> ModelFiles {
    let folder = try InputFolder(path: location.modelFolder)
    guard folder.contains("config.json") else {
      throw BessemerError(
        .fileMissing, "holds no config.json; a model is a folder of config.json and *.safetensors, or a bundle",
        file: location.modelFolder)
    }
    return try ModelFiles(folder: location.modelFolder)
  }

  private static func config(_ files: ModelFiles, at path: String) throws -> JSON {
    guard let config = try files.json("config.json") else {
      throw BessemerError(.bundle, "holds no config.json", file: path)
    }
    return config
  }
}

/// What a model is for.
public enum ModelKind: String, Sendable {
  /// Predicts the next token; keeps a cache between runs.
  case textGeneration = "text-generation"
  /// Turns a text into vectors.
  case embedding
  /// A pipeline that turns a text into an image.
  case imageGeneration = "image-generation"
  /// Anything else.
  case other

  init(_ graph: Graph) {
    let outputs = graph.outputs.map(\.name)
    if outputs.contains("logits"), !graph.states.isEmpty {
      self = .textGeneration
    } else if outputs.contains("last_hidden_state") {
      self = .embedding
    } else {
      self = .other
    }
  }
}

/// How a checkpoint becomes a graph.
public struct ModelOptions: Sendable {
  /// The type of activations.
  public var activation: DType
  /// The passes to run; nil leaves the graph as it was built.
  public var passes: PassOptions?

  /// What unpacking a compressed bundle may take.
  public var resources: Resources
  /// Whether stacked matrices of experts are taken as one for each.
  public var separatesExperts: Bool

  public init(
    activation: DType = .float32, passes: PassOptions? = nil, resources: Resources = Resources(),
    separatesExperts: Bool = false
  ) {
    self.separatesExperts = separatesExperts
    self.activation = activation
    self.passes = passes
    self.resources = resources
  }
}
