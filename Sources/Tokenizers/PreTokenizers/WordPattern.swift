/// The patterns of well-known tokenizers, each with a splitter written by hand that finds the same matches.
enum WordPattern: Sendable, CaseIterable {
  /// GPT-2 and the ByteLevel pre-tokenizer.
  case gpt2
  /// cl100k with digits in groups of three: Llama 3, GLM-4.
  case digitTriples
  /// The same with single digits: Qwen 2 and 3.
  case singleDigits
  /// o200k: GPT-4o, gpt-oss.
  case caseAware
  /// The last pattern of DeepSeek V3.
  case deepSeek

  private static let contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"

  /// The pattern as tokenizer files write it.
  var text: String {
    let ending = #"|\s*[\r\n]+|\s+(?!\S)|\s+"#
    let words = #"|[^\r\n\p{L}\p{N}]?\p{L}+|"#
    let others = #"| ?[^\s\p{L}\p{N}]+[\r\n]*"#
    switch self {
    case .gpt2: return #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#
    case .digitTriples: return Self.contractions + words + #"\p{N}{1,3}"# + others + ending
    case .singleDigits: return Self.contractions + words + #"\p{N}"# + others + ending
    case .caseAware:
      let upper = #"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"#
      let lower = #"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"#
      let prefix = #"[^\r\n\p{L}\p{N}]?"#
      return "\(prefix)\(upper)*\(lower)+\(Self.contractions)?|\(prefix)\(upper)+\(lower)*\(Self.contractions)?"
        + #"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*"# + ending
    case .deepSeek:
      return ##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"##
        + #"| ?[\p{P}\p{S}]+[\r\n]*"# + ending
    }
  }

  /// The known pattern with this text.
  static func named(by text: String) -> WordPattern? {
    allCases.first { $0.text.unicodeScalars.elementsEqual(text.unicodeScalars) }
  }

  /// Whether every scalar of any text belongs to a match.
  var coversEverything: Bool { self != .deepSeek }
}
