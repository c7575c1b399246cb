public import IR
import Passes
public import Runtime
import Tensors
public import Tokenizers

/// A model opened to be run: its session, and its tokenizer and special tokens when it has them.
public struct RunnableModel {
  public let loaded: LoadedModel
  public let session: Session
  /// The names of outputs that were added for what each layer gives.
  public let layers: [String]

  /// - Parameters:
  ///   - component: which graph, where the path leads to several.
  ///   - fuse: whether a checkpoint's graph is fused; a bundle's is as it was exported.
  ///   - arithmetic: how a checkpoint's quantized weights are multiplied; nil widens them.
  ///   - lastPositionOnly: whether scores are needed for the last position alone.
  ///   - showsLayers: whether what each layer gives becomes an output.
  ///   - capacity: tokens that a cache should have room for.
  public init(
    path: String, component: String? = nil, options: RunOptions, fuse: Bool = true,
    arithmetic: QuantizedArithmetic? = .a2, lastPositionOnly: Bool = false, showsLayers: Bool = false,
    capacity: Int = 0
  ) throws {
    var passes = PassOptions(fuse: fuse)
    passes.arithmetic = arithmetic
    loaded = try LoadedModel(
      path: path, component: component,
      options: ModelOptions(passes: passes, resources: Resources(threads: options.threads)))
    var graph = loaded.graph
    if lastPositionOnly { _ = try PassRunner([KeepLastPosition()]).run(on: &graph) }
    layers = showsLayers ? LayerOutputs.add(to: &graph) : []
    session = Session(Model(graph, weights: loaded.weights, options: options), capacity: capacity)
  }

  /// The tokenizer of tokenizer.json.
  public func tokenizer() throws -> Tokenizer {
    guard let json = try loaded.files.json("tokenizer.json") else {
      throw BessemerError(.fileMissing, "the model has no tokenizer.json", file: loaded.path)
    }
    return try inFile(loaded.files["tokenizer.json"]?.path ?? loaded.path) { try Tokenizer(json: json) }
  }

  /// The token that sequences begin with, by the model's configuration.
  public var beginToken: Int32? { get throws { try loaded.beginToken } }

  /// The tokens that end a sequence.
  public var endTokens: Set<Int> { get throws { Set(try loaded.tokens("eos_token_id")) } }

  /// The number of tokens that the model knows, by its embedding table.
  public var vocabularySize: Int? { loaded.config["vocab_size"]?.int }

  // MARK: Embedding

  /// How sentence-transformers' files say that token vectors become one; without such files the normalized mean.
  public func pooling() throws -> Pooling {
    guard let modules = try list("modules.json") else { return Pooling() }
    let types = modules.map { String(($0["type"]?.string ?? "").split(separator: ".").last ?? "") }
    if let other = types.first(where: { !["Transformer", "Pooling", "Normalize"].contains($0) }) {
      throw BessemerError(
        .unsupportedFeature, "modules.json has a module of type \(quoted(other)), which does not run",
        file: loaded.path)
    }
    return Pooling(modes: try poolingModes(), normalizes: types.contains("Normalize"))
  }

  /// What `1_Pooling/config.json` names as `pooling_mode`, one or several, or by older keys of its own for each.
  private func poolingModes() throws -> [Pooling.Mode] {
    guard let config = try loaded.files.json("1_Pooling/config.json") else { return [.mean] }
    guard let named = config["pooling_mode"] else {
      let keys: [(String, Pooling.Mode)] = [
        ("cls_token", .cls), ("max_tokens", .max), ("mean_tokens", .mean), ("mean_sqrt_len_tokens", .meanOfSquareRoot),
        ("weightedmean_tokens", .weightedMean), ("lasttoken", .lastToken),
      ]
      let modes = keys.filter { config["pooling_mode_" + $0.0]?.bool == true }.map(\.1)
      return modes.isEmpty ? [.mean] : modes
    }
    return try (named.kind == .array ? Array(named.elements) : [named]).map { name in
      guard let mode = Pooling.Mode(rawValue: try name.asString()) else {
        throw BessemerError(
          .unsupportedFeature, "pooling_mode \(quoted(try name.asString())) is not supported", file: loaded.path)
      }
      return mode
    }
  }

  /// The most tokens of a text that are read, special ones included.
  public func maximumLength() throws -> Int? {
    if let length = try loaded.files.json("sentence_bert_config.json")?["max_seq_length"]?.int { return length }
    return loaded.config["max_position_embeddings"]?.int
  }

  private func list(_ name: String) throws -> [JSON]? {
    guard let file = loaded.files[name] else { return nil }
    return try inFile(file.path) { Array(try JSON.parse(file.bytes).asArray()) }
  }
}

extension LoadedModel {
  /// The token that sequences begin with.
  var beginToken: Int32? { get throws { try tokens("bos_token_id").first.map { Int32(clamping: $0) } } }

  /// What generation_config.json, else config.json, gives for a token id: a number or a list.
  fileprivate func tokens(_ key: String) throws -> [Int] {
    for file in ["generation_config.json", "config.json"] {
      guard let value = try files.json(file)?[key], !value.isNull else { continue }
      if let id = value.int { return [id] }
      if value.kind == .array { return try value.elements.map { try $0.asInt() } }
      throw BessemerError(.config, "\(key) is \(value.summary), expected a token id or a list of them", file: file)
    }
    return []
  }
}
