public import IR
public import Tensors

/// A model family: turns config.json and named weights into graphs. One architecture is one file.
public protocol Architecture: Sendable {
  typealias Build = @Sendable (Configuration, inout GraphBuilder) throws -> Void

  /// The hyperparameters it reads from config.json.
  associatedtype Configuration: Decodable
  /// The values of `model_type`, or `_class_name`, that it answers to.
  static var modelTypes: [String] { get }
  /// Appends the computation to `builder`, asking it for every weight by name and shape.
  static func build(_ configuration: Configuration, _ builder: inout GraphBuilder) throws
  /// The graphs that the model consists of, the main one first. Every weight is asked for by one of them, or ignored.
  /// Unless said otherwise there is one, `model`, made by ``build(_:_:)``.
  static var components: [(name: String, build: Build)] { get }
}

extension Architecture {
  public static var components: [(name: String, build: Build)] { [("model", { try build($0, &$1) })] }
}

/// One of the graphs that a model consists of.
public struct ModelComponent: Sendable {
  public let name: String
  public let graph: Graph
}

/// How a graph is built.
public struct BuildOptions: Sendable {
  /// The type of activations; weights keep their stored type and are widened or narrowed where they are used.
  public var activation: DType
  /// Whether weights that config.json calls quantized have been decoded.
  public var isDecoded: Bool
  /// The weights that are stored in few bits.
  public var quantization = QuantizedWeights()
  public init(activation: DType = .float32, isDecoded: Bool = false) {
    self.activation = activation
    self.isDecoded = isDecoded
  }
}

/// The model families, by alphabet.
public let architectures: [any Architecture.Type] = [
  AutoencoderKL.self,
  Bert.self,
  DeepseekV3.self,
  GPT2.self,
  Glm4.self,
  Glm4MoE.self,
  GlmImage.self,
  GlmImageTransformer.self,
  Llama.self,
  PanguProMoE.self,
  Qwen2.self,
  Qwen3.self,
  Qwen3MoE.self,
  T5.self,
]

/// Builds the graph of a model that consists of one; ``buildComponents(config:weights:options:)`` says what is thrown.
public func buildGraph(config: JSON, weights: TensorStore, options: BuildOptions = BuildOptions()) throws -> Graph {
  let components = try buildComponents(config: config, weights: weights, options: options)
  guard components.count == 1 else {
    let names = components.map(\.name).joined(separator: ", ")
    throw BessemerError(
      .unsupportedModel, "\(try config.modelType) consists of several graphs (\(names)), expected a model of one")
  }
  return components[0].graph
}

/// Builds the graphs of the model that `config` describes from `weights`, the main one first.
///
/// Throws ``ErrorCode/config`` for values that cannot be, ``ErrorCode/unsupportedModel`` for an unknown family,
/// ``ErrorCode/weights`` listing every tensor that is missing, misshapen, or asked for by none of the graphs.
public func buildComponents(
  config: JSON, weights: TensorStore, options: BuildOptions = BuildOptions()
) throws -> [ModelComponent] {
  let modelType = try config.modelType
  guard let architecture = architectures.first(where: { $0.modelTypes.contains(modelType) }) else {
    let known = architectures.flatMap { $0.modelTypes }.joined(separator: ", ")
    throw BessemerError(.unsupportedModel, "model_type \(quoted(modelType)) is not supported; known: \(known)")
  }
  if let quantization = config["quantization_config"], !quantization.isNull, !options.isDecoded,
    options.quantization.schemes.isEmpty
  {
    throw BessemerError(
      .unsupportedFeature, "config.json has a quantization_config; only float checkpoints can be built")
  }
  for key in ["dtype", "torch_dtype"] {
    guard let dtype = try config.optional(key) else { continue }
    let name = try dtype.asString()
    guard name == "auto" || DType(spelling: name) != nil else {
      throw BessemerError(.unsupportedType, "\(key) \(quoted(name)) is no element type that is known")
    }
  }
  return try architecture.graphs(modelType, config, weights, options)
}

extension Architecture {
  fileprivate static func graphs(_ name: String, _ config: JSON, _ weights: TensorStore, _ options: BuildOptions) throws
    -> [ModelComponent]
  {
    let configuration: Configuration = try config.decode(code: .config, keys: .snakeCase)
    var account = WeightAccount()
    let components = components
    let graphs = try components.map { component in
      let graphName = components.count == 1 ? name : "\(name).\(component.name)"
      var builder = GraphBuilder(name: graphName, weights: weights, options: options, account: account)
      try component.build(configuration, &builder)
      account = builder.account
      return ModelComponent(name: component.name, graph: builder.finish())
    }
    try account.settle(against: weights)
    return graphs
  }
}

extension JSON {
  /// The `model_type` of a config.json, or in one of diffusers its `_class_name`.
  public var modelType: String {
    get throws {
      for key in ["model_type", "_class_name"] {
        guard let value = self[key], !value.isNull else { continue }
        guard let name = value.string else { throw BessemerError(.config, "\(key) is not a string") }
        return name
      }
      throw BessemerError(.config, "model_type is missing, so the model family is unknown")
    }
  }
}
