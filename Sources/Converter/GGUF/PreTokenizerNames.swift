internal import Tensors

/// How texts are cut before tokens are merged, by the name that GGUF files have for it.
enum PreTokenizerNames {
  private static let words = #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"#
  private static let rest = #"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
  private static let threeDigits = words + #"\p{N}{1,3}"# + rest
  private static let oneDigit = words + #"\p{N}"# + rest

  /// The expression of a name; an empty one for GPT-2's own, nil for a name that is not known.
  static func pattern(_ name: String) -> String? {
    switch name {
    case "gpt-2": ""
    case "chatglm-bpe", "glm4", "llama-bpe": threeDigits
    case "qwen2": oneDigit
    default: nil
    }
  }

  /// The name for a `pre_tokenizer` of a model of the family. Throws ``ErrorCode/unsupportedFeature`` for one that has
  /// none, as llama.cpp would cut texts otherwise.
  static func name(_ json: JSON?, _ family: GGUFFamily) throws -> String {
    var patterns: [String] = []
    var usesOwn = false
    func add(_ json: JSON) throws {
      switch try json.required("type").asString() {
      case "Sequence": for part in try json.required("pretokenizers").asArray() { try add(part) }
      case "Split":
        guard let pattern = try json.required("pattern").optional("Regex") else { return patterns.append("?") }
        patterns.append(try pattern.asString())
      case "ByteLevel": usesOwn = try json.optional("use_regex")?.asBool() ?? true
      default: patterns.append("?")
      }
    }
    try json.map { try add($0) }
    if patterns.isEmpty, usesOwn { return "gpt-2" }
    if patterns == [threeDigits], !usesOwn { return family.architecture.hasPrefix("glm4") ? "glm4" : "llama-bpe" }
    if patterns == [oneDigit], !usesOwn { return "qwen2" }
    throw BessemerError(
      .unsupportedFeature,
      "the pre-tokenizer is none that GGUF files have a name for here (gpt-2, glm4, llama-bpe, qwen2)")
  }
}
