public import IR
public import Tensors

/// A model family: turns config.json and named weights into a graph. One architecture is one file.
public protocol Architecture: Sendable {
  /// The hyperparameters it reads from config.json.
  associatedtype Configuration: Decodable
  /// The values of `model_type` that it answers to.
  static var modelTypes: [String] { get }
  /// Appends the computation to `builder`, asking it for every weight by name and shape.
  static func build(_ configuration: Configuration, _ builder: inout GraphBuilder) throws
}

/// How a graph is built.
public struct BuildOptions: Sendable {
  /// The type of activations; weights keep their stored type and are widened or narrowed where they are used.
  public var activation: DType
  public init(activation: DType = .float32) { self.activation = activation }
}

/// The model families, by alphabet.
public let architectures: [any Architecture.Type] = [
  Bert.self,
  GPT2.self,
  Glm4.self,
  Llama.self,
  Qwen2.self,
  Qwen3.self,
  T5.self,
]

/// Builds the graph of the model that `config` describes from `weights`.
///
/// Throws ``ErrorCode/config`` for values that cannot be, ``ErrorCode/unsupportedModel`` for an unknown family,
/// ``ErrorCode/weights`` listing every tensor that is missing, surplus or misshapen.
public func buildGraph(config: JSON, weights: TensorStore, options: BuildOptions = BuildOptions()) throws -> Graph {
  let modelType = try config.modelType
  guard let architecture = architectures.first(where: { $0.modelTypes.contains(modelType) }) else {
    let known = architectures.flatMap { $0.modelTypes }.joined(separator: ", ")
    throw BessemerError(.unsupportedModel, "model_type \(quoted(modelType)) is not supported; known: \(known)")
  }
  if let quantization = config["quantization_config"], !quantization.isNull {
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
  return try architecture.graph(modelType, config, weights, options)
}

extension Architecture {
  fileprivate static func graph(_ name: String, _ config: JSON, _ weights: TensorStore, _ options: BuildOptions) throws
    -> Graph
  {
    let configuration: Configuration = try config.decode(code: .config, keys: .snakeCase)
    var builder = GraphBuilder(name: name, weights: weights, options: options)
    try build(configuration, &builder)
    return try builder.finish()
  }
}

extension JSON {
  /// The `model_type` of a config.json.
  public var modelType: String {
    get throws {
      guard let value = self["model_type"], !value.isNull else {
        throw BessemerError(.config, "model_type is missing, so the model family is unknown")
      }
      guard let name = value.string else { throw BessemerError(.config, "model_type is not a string") }
      return name
    }
  }
}
