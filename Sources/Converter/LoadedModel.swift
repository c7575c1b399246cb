internal import Architectures
public import IR
public import Passes
public import Tensors

/// A model made ready for work: the graph with its weights and the files beside them, from a checkpoint's folder or a
/// bundle.
///
/// This is how every command opens a model. Nothing of the weights is read; the graph of a checkpoint is built from
/// config.json, with every weight accounted for, and rewritten as the options say; a bundle's graph is taken as it is.
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

  /// The path as the user named it.
  public let path: String
  public let origin: Origin
  /// The `model_type` of config.json.
  public let modelType: String
  public let graph: Graph
  /// Operators before any pass ran, by name; for a bundle those of its graph.
  public let sourceOperators: OperatorCounts
  public let weights: TensorStore
  /// The content of config.json.
  public let config: JSON
  /// Configuration and tokenizer files, config.json among them.
  public let files: ModelFiles
  /// What the passes did; nil when none ran.
  public let report: PassReport?

  /// Opens the model at `path`: a folder with config.json, a weights file or index in one, or a bundle.
  public init(path: String, options: ModelOptions = ModelOptions()) throws {
    try self.init(ModelLocation(path), options: options)
  }

  /// Opens the model at a location; `opened` are its weights if they have been opened already.
  public init(
    _ location: ModelLocation, options: ModelOptions = ModelOptions(), weights opened: TensorStore? = nil
  ) throws {
    path = location.path
    if case .bundle(let path) = location {
      let bundle = try Bundles.open(path, options.resources)
      (origin, graph, weights, files, report) = (.bundle, bundle.graph, bundle.weights, bundle.files, nil)
      let configuration = try LoadedModel.config(bundle.files, at: path)
      config = configuration
      modelType = try inFile(path) { try configuration.modelType }
      sourceOperators = OperatorCounts(graph)
      return
    }
    origin = .checkpoint
    // A configuration that cannot be is said before any weight is looked at.
    files = try LoadedModel.files(location)
    let configuration = try LoadedModel.config(files, at: location.modelFolder)
    config = configuration
    let configPath = files["config.json"]?.path ?? location.path
    modelType = try inFile(configPath) { try configuration.modelType }
    let weights = try opened ?? CheckpointFormats.read(location.path)
    self.weights = weights
    var graph = try inFile(configPath) {
      try buildGraph(config: configuration, weights: weights, options: BuildOptions(activation: options.activation))
    }
    sourceOperators = OperatorCounts(graph)
    report = try options.passes.map { try $0.run(on: &graph) }
    self.graph = graph
  }

  /// The bytes of tokenizer.json, if the model has one.
  public var tokenizerJSON: Bytes? { files["tokenizer.json"]?.bytes }

  /// What the model is for, by its outputs and states.
  public var kind: ModelKind { ModelKind(graph) }

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

  public init(activation: DType = .float32, passes: PassOptions? = nil, resources: Resources = Resources()) {
    self.activation = activation
    self.passes = passes
    self.resources = resources
  }
}
