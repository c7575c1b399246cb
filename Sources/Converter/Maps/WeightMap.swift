internal import Glibc
public import Tensors

/// How the tensors of one framework become those of another: rules by name, made for the checkpoint at hand.
public struct WeightMap: Sendable {
  /// What a map is made for.
  public struct Subject: Sendable {
    /// The tensors, in their order.
    public let entries: [TensorStore.Entry]
    public let metadata: [TensorName: String]
    /// The object in config.json beside the weights, if there is one.
    public let config: JSON?
  }

  /// The word that a person names the map by: `hf-to-mindone`.
  public let name: String
  /// One line on what it is for.
  public let summary: String
  /// The name of the map that undoes it, if one does.
  public let inverse: String?
  private let makeRules: @Sendable (Subject) throws -> [MapRule]

  /// `rules` looks at names, types and the configuration, and throws when the map is not for them.
  public init(
    _ name: String, _ summary: String, inverse: String? = nil,
    rules: @escaping @Sendable (Subject) throws -> [MapRule]
  ) {
    self.name = name
    self.summary = summary
    self.inverse = inverse
    makeRules = rules
  }

  public func rules(for subject: Subject) throws -> [MapRule] { try makeRules(subject) }

  /// All built-in maps, by alphabet.
  public static let all: [WeightMap] = (MindFormers.maps + MindOne.maps).sorted { $0.name < $1.name }

  /// The map that a person means: a built-in one by its name, or a file of rules.
  static func named(_ word: String) throws -> WeightMap {
    if let map = all.first(where: { $0.name == word }) { return map }
    guard word.contains("/") || word.hasSuffix(".yaml") || word.hasSuffix(".yml") || access(word, F_OK) == 0 else {
      let known = all.isEmpty ? "" : " (\(all.map(\.name).joined(separator: ", ")))"
      throw BessemerError(.usage, "--map \(quoted(word)) is neither a built-in map\(known) nor a file")
    }
    let rules = try MapFile.read(word)
    return WeightMap(word, "rules of a file") { _ in rules }
  }
}
