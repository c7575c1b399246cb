internal import Checkpoints
internal import Tensors

/// The tokenizer of a model's folder as metadata of a GGUF file.
struct GGUFVocabulary {
  /// What a token is, by the number in files.
  enum Kind: Int {
    case normal = 1
    case unknown, control, userDefined, unused, byte
  }

  private var tokens: [String]
  private var kinds: [Kind]
  private var scores: [Float]?
  private(set) var texts: [TensorName: String] = [:]

  static let tokensKey: TensorName = "tokenizer.ggml.tokens"
  static let kindsKey: TensorName = "tokenizer.ggml.token_type"
  static let scoresKey: TensorName = "tokenizer.ggml.scores"
  static let mergesKey: TensorName = "tokenizer.ggml.merges"
  static let modelKey: TensorName = "tokenizer.ggml.model"
  static let preKey: TensorName = "tokenizer.ggml.pre"

  /// The metadata for the tokenizer in `files`; only that there is none when there is none.
  static func metadata(_ files: ModelFiles, _ config: JSON, _ family: GGUFFamily) throws -> [TensorName: String] {
    let tokenizer = try files.json("tokenizer.json")
    let pieces = files["tokenizer.model"]
    guard tokenizer != nil || pieces != nil else { return [modelKey: "none"] }
    let count = try config.required("vocab_size").asInt(in: 1...(1 << 24))
    var vocabulary = GGUFVocabulary(count: count)
    let takesPieces = family.architecture == "llama" || family.architecture == "qwen2" || family.architecture == "qwen3"
    if let pieces, takesPieces {
      try inFile(pieces.path) { try vocabulary.addPieces(SentencePieceModel(pieces.bytes)) }
      try vocabulary.addNamed(files)
    } else if let tokenizer, let file = files["tokenizer.json"] {
      try inFile(file.path) { try vocabulary.add(tokenizer, family) }
    } else {
      throw BessemerError(.tokenizer, "models of type \(family.modelType) need a tokenizer.json to become GGUF files")
    }
    if family.architecture == "llama", let value = try files.json("tokenizer_config.json")?.optional("add_prefix_space")
    {
      vocabulary.texts["tokenizer.ggml.add_space_prefix"] = "bool:\(try value.asBool())"
    }
    var special = GGUFSpecialTokens()
    try special.read(tokenizer, try files.json("tokenizer_config.json"), config)
    try special.complete(family, vocabulary.tokens)
    vocabulary.texts.merge(special.texts(count: count)) { $1 }
    vocabulary.texts.merge(try GGUFSpecialTokens.chatTemplates(files)) { $1 }
    return vocabulary.finished()
  }

  private init(count: Int) {
    tokens = (0..<count).map { "[PAD\($0)]" }
    kinds = Array(repeating: .unused, count: count)
  }

  private func finished() -> [TensorName: String] {
    var texts = texts
    texts[GGUFVocabulary.tokensKey] = "array:string:\(GGUFText.list(tokens))"
    texts[GGUFVocabulary.kindsKey] = "array:i32:[\(kinds.map { String($0.rawValue) }.joined(separator: ","))]"
    if let scores {
      texts[GGUFVocabulary.scoresKey] = "array:f32:[\(scores.map(\.description).joined(separator: ","))]"
    }
    return texts
  }

  private mutating func set(_ id: Int, _ token: String, _ kind: Kind) throws {
    guard tokens.indices.contains(id) else {
      throw BessemerError(
        .tokenizer, "token \(quoted(token)) has the id \(id), config.json says \(tokens.count) tokens")
    }
    tokens[id] = token
    kinds[id] = kind
  }

  // MARK: tokenizer.json

  private mutating func add(_ json: JSON, _ family: GGUFFamily) throws {
    let model = try json.required("model")
    let type = try model.required("type").asString()
    for (token, id) in try model.required("vocab").asObject() { try set(id.asInt(), token, .normal) }
    let added = try json.optional("added_tokens")?.asArray().map { $0 } ?? []
    let isPlain = try type == "BPE" && !(model.optional("byte_fallback")?.asBool() ?? false)
    for token in added {
      let content = try token.required("content").asString()
      let isControl = try token.required("special").asBool() || GGUFVocabulary.looksSpecial(content)
      // Tokens of users stand for themselves, spaces included.
      let text = isControl ? content : content.replacing("\u{2581}", with: " ")
      try set(token.required("id").asInt(), text, isControl ? .control : .userDefined)
    }
    switch type {
    case "BPE" where isPlain:
      texts[GGUFVocabulary.modelKey] = "gpt2"
      texts[GGUFVocabulary.preKey] = try PreTokenizerNames.name(json.optional("pre_tokenizer"), family)
      texts[GGUFVocabulary.mergesKey] = "array:string:\(GGUFText.list(try GGUFVocabulary.merges(model)))"
    case "BPE":
      texts[GGUFVocabulary.modelKey] = "llama"
      texts[GGUFVocabulary.preKey] = "default"
      scores = Array(repeating: -1000, count: tokens.count)
      for (id, token) in tokens.enumerated() where GGUFVocabulary.isByte(token) { kinds[id] = .byte }
    case "WordPiece":
      texts[GGUFVocabulary.modelKey] = "bert"
      texts[GGUFVocabulary.preKey] = "bert-bge"
      // What starts a word is marked, not what continues it.
      for (id, token) in tokens.enumerated() where kinds[id] != .control {
        tokens[id] = token.hasPrefix("##") ? String(token.dropFirst(2)) : "\u{2581}" + token
      }
    default:
      throw BessemerError(.unsupportedFeature, "a tokenizer of the type \(quoted(type)) is not written to GGUF files")
    }
    try json.optional("normalizer").map { try addNormalizer($0) }
  }

  /// Merges as `left right`, as JSON has them in two ways.
  private static func merges(_ model: JSON) throws -> [String] {
    try model.required("merges").asArray().map { merge in
      if let text = merge.string { return text }
      let parts = try merge.asArray().map { try $0.asString().replacing(" ", with: "\u{0120}") }
      guard parts.count == 2 else { throw merge.mismatch("two tokens") }
      return parts.joined(separator: " ")
    }
  }

  private mutating func addNormalizer(_ json: JSON) throws {
    switch try json.required("type").asString() {
    case "Lowercase": texts["tokenizer.ggml.normalizer.lowercase"] = "bool:true"
    case "StripAccents": texts["tokenizer.ggml.normalizer.strip_accents"] = "bool:true"
    case "BertNormalizer":
      for key in ["lowercase", "strip_accents"] {
        guard let value = try json.optional(key) else { continue }
        texts[TensorName("tokenizer.ggml.normalizer.\(key)")] = "bool:\(try value.asBool())"
      }
    case "Sequence": for part in try json.required("normalizers").asArray() { try addNormalizer(part) }
    default: break
    }
  }

  /// Tokens that some models do not mark as special, but mean so.
  private static func looksSpecial(_ token: String) -> Bool {
    ["<pad>", "<mask>", "<2mass>", "[@BOS@]"].contains(token)
      || [("<|", "|>"), ("<\u{FF5C}", "\u{FF5C}>"), ("<unused", ">")].contains {
        token.hasPrefix($0.0) && token.hasSuffix($0.1)
      }
  }

  /// `<0x0A>`
  static func isByte(_ token: String) -> Bool {
    let utf8 = Array(token.utf8)
    return utf8.count == 6 && token.hasPrefix("<0x") && token.hasSuffix(">")
      && UInt8(token.dropFirst(3).dropLast(), radix: 16) != nil
  }

  // MARK: tokenizer.model

  private mutating func addPieces(_ model: SentencePieceModel) throws {
    texts[GGUFVocabulary.modelKey] = "llama"
    texts[GGUFVocabulary.preKey] = "default"
    var scores = [Float](repeating: -10000, count: tokens.count)
    for (id, piece) in model.pieces.enumerated() where id < tokens.count {
      (tokens[id], kinds[id], scores[id]) = (piece.text, piece.kind, piece.score)
    }
    self.scores = scores
  }

  /// Tokens that files beside the pieces name.
  private mutating func addNamed(_ files: ModelFiles) throws {
    func put(_ id: Int, _ token: String, _ kind: Kind) {
      guard tokens.indices.contains(id) else { return }
      (tokens[id], kinds[id]) = (token, kind)
      scores?[id] = -1000
    }
    if let added = try files.json("added_tokens.json") {
      for (token, id) in added.members { put(try id.asInt(), token, .userDefined) }
    }
    guard let decoder = try files.json("tokenizer_config.json")?.optional("added_tokens_decoder") else { return }
    for (id, token) in try decoder.asObject() {
      let content = try token.required("content").asString()
      guard let id = Int(id) else { throw decoder.mismatch("ids of tokens") }
      let isControl = try token.optional("special")?.asBool() ?? false || GGUFVocabulary.looksSpecial(content)
      put(id, isControl ? content : content.replacing("\u{2581}", with: " "), isControl ? .control : .userDefined)
    }
  }
}
