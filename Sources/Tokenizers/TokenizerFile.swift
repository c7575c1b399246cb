internal import Tensors

/// Reads the members of a `tokenizer.json` into checked components. Nothing else knows the format.
enum TokenizerFile {
  /// Limits on what a file may hold.
  enum Limit {
    static let merges = 1 << 24
    static let steps = 64
    static let tokenByteCount = 1 << 16
    static let addedTokens = 1 << 20
  }

  /// Everything a file says.
  static func components(_ json: JSON) throws -> TokenizerComponents {
    if let version = try json.optional("version"), version.string != "1.0" { throw version.mismatch("\"1.0\"") }
    let normalizers = try steps(json, "normalizer", "normalizers", normalizer)
    var preTokenizers = try steps(json, "pre_tokenizer", "pretokenizers", preTokenizer)
    let decoderSteps = try json.optional("decoder") == nil ? nil : steps(json, "decoder", "decoders", decoder)
    var finalByteLevel: (addsPrefixSpace: Bool, splits: Bool)?
    if case .byteLevel(let addsPrefixSpace, let splits)? = preTokenizers.last {
      finalByteLevel = (addsPrefixSpace, splits)
    }
    let (model, takesBytes) = try ModelFile.model(try json.required("model"), endsInBytes: finalByteLevel != nil)
    if takesBytes { preTokenizers.removeLast() } else { finalByteLevel = nil }
    return TokenizerComponents(
      addedTokens: try addedTokens(json, model.vocabulary),
      normalizers: normalizers,
      preTokenizers: preTokenizers,
      finalByteLevel: finalByteLevel,
      model: model,
      postProcessor: try PostProcessorFile.postProcessor(try json.optional("post_processor")),
      decoders: decoderSteps)
  }

  // MARK: Shared

  /// The `type` of a component.
  static func type(_ json: JSON) throws -> String { try json.required("type").asString() }

  /// The error for a component that is not known.
  static func unknown(_ json: JSON, _ kind: String) throws -> BessemerError {
    BessemerError(.unsupportedFeature, "the \(kind) \(quoted(try type(json))) at byte \(json.byteOffset) is not known")
  }

  /// The steps of a component; a Sequence is written out.
  private static func steps<Step>(
    _ json: JSON, _ kind: String, _ member: String, _ make: (JSON) throws -> Step
  ) throws -> [Step] {
    guard let root = try json.optional(kind) else { return [] }
    var steps: [Step] = []
    func add(_ json: JSON) throws {
      guard try type(json) == "Sequence" else {
        steps.append(try make(json))
        guard steps.count <= Limit.steps else {
          throw BessemerError(.limit, "the \(kind) has over \(Limit.steps) steps")
        }
        return
      }
      for step in try json.required(member).asArray() { try add(step) }
    }
    // The parser bounds the depth of the file, and so of this recursion.
    try add(root)
    return steps
  }

  static func bytes(_ json: JSON) throws -> [UInt8] {
    let bytes = Array(try json.asString().utf8)
    guard bytes.count <= Limit.tokenByteCount else {
      throw BessemerError(.limit, "a string of \(bytes.count) bytes at byte \(json.byteOffset)")
    }
    return bytes
  }

  static func flag(_ json: JSON, _ key: String, default value: Bool) throws -> Bool {
    try json.optional(key)?.asBool() ?? value
  }

  private static func scalar(_ json: JSON) throws -> UInt32 {
    guard let scalar = UTF8Text.singleScalar(try json.asString()) else { throw json.mismatch("one character") }
    return scalar
  }

  /// `{"String": …}` or `{"Regex": …}`.
  private static func pattern(_ json: JSON) throws -> SplitPattern {
    let pattern = try json.required("pattern")
    if let literal = try pattern.optional("String") {
      let bytes = try bytes(literal)
      guard !bytes.isEmpty else { throw literal.mismatch("a string that is not empty") }
      return .literal(bytes)
    }
    guard let text = try pattern.optional("Regex")?.asString() else {
      throw pattern.mismatch("an object with \"String\" or \"Regex\"")
    }
    if let known = WordPattern.named(by: text) { return .words(WordSplitter(known)) }
    return .regex(try Regex(text))
  }

  // MARK: Added tokens

  private static func addedTokens(_ json: JSON, _ vocabulary: Vocabulary) throws -> [AddedToken] {
    guard let list = try json.optional("added_tokens") else { return [] }
    guard list.count <= Limit.addedTokens else { throw BessemerError(.limit, "\(list.count) added tokens") }
    var tokens: [AddedToken] = []
    var places: [[UInt8]: Int] = [:]
    for entry in try list.asArray() {
      let content = try bytes(try entry.required("content"))
      if content.isEmpty { continue }
      let id = try entry.required("id").asInt(in: 0...Vocabulary.Limit.id - 1)
      let token = AddedToken(
        content: content, id: Int32(id),
        isSpecial: try entry.required("special").asBool(),
        isSingleWord: try entry.required("single_word").asBool(),
        stripsLeft: try entry.required("lstrip").asBool(),
        stripsRight: try entry.required("rstrip").asBool(),
        isNormalized: try entry.required("normalized").asBool(),
        normalized: content)
      if let place = places[content] {
        tokens[place] = token
      } else {
        places[content] = tokens.count
        tokens.append(token)
      }
    }
    return try numbered(tokens, vocabulary)
  }

  /// Gives each token the id that the library does: the model's if it has the token, else the next free number. A file
  /// that says otherwise is refused.
  private static func numbered(_ tokens: [AddedToken], _ vocabulary: Vocabulary) throws -> [AddedToken] {
    var next = Int32(vocabulary.count)
    for token in tokens {
      let known = vocabulary.id(of: token.content)
      let id = known ?? next
      if known == nil { next += 1 }
      guard id == token.id else {
        let name = quoted(String(decoding: token.content, as: UTF8.self))
        throw BessemerError(
          .tokenizer, "added token \(name) has the id \(token.id), its place in the vocabulary is \(id)")
      }
    }
    return tokens
  }

  // MARK: Steps

  private static func normalizer(_ json: JSON) throws -> Normalizer {
    switch try type(json) {
    case "BertNormalizer":
      let lowercases = try json.required("lowercase").asBool()
      return .bert(
        BertNormalizer(
          cleansText: try json.required("clean_text").asBool(),
          separatesChinese: try json.required("handle_chinese_chars").asBool(),
          stripsAccents: try json.optional("strip_accents")?.asBool() ?? lowercases,
          lowercases: lowercases))
    case "NFC": return .unicode(.nfc)
    case "NFD": return .unicode(.nfd)
    case "NFKC": return .unicode(.nfkc)
    case "NFKD": return .unicode(.nfkd)
    case "Lowercase": return .lowercase
    case "StripAccents": return .stripAccents
    case "Strip":
      return .strip(left: try json.required("strip_left").asBool(), right: try json.required("strip_right").asBool())
    case "Replace": return .replace(try pattern(json), try bytes(try json.required("content")))
    case "Prepend": return .prepend(try bytes(try json.required("prepend")))
    case "Nmt": return .nmt
    case "ByteLevel": return .byteLevel
    default: throw try unknown(json, "normalizer")
    }
  }

  private static func preTokenizer(_ json: JSON) throws -> PreTokenizer {
    switch try type(json) {
    case "ByteLevel":
      return .byteLevel(
        addsPrefixSpace: try json.required("add_prefix_space").asBool(),
        splits: try flag(json, "use_regex", default: true))
    case "Split":
      return .pattern(
        try pattern(json), try behavior(try json.required("behavior")), isInverted: try json.required("invert").asBool()
      )
    case "Digits":
      return .scalars(.numeric, try json.required("individual_digits").asBool() ? .isolated : .contiguous)
    case "Punctuation": return .scalars(.punctuation, try json.optional("behavior").map(behavior) ?? .isolated)
    case "Whitespace": return .scalars(.whitespacePattern, .removed)
    case "WhitespaceSplit": return .scalars(.space, .removed)
    case "CharDelimiterSplit": return .scalars(.equals(try scalar(try json.required("delimiter"))), .removed)
    case "Metaspace":
      let scheme = try prependScheme(json)
      return .metaspace(
        replacement: try scalar(try json.required("replacement")), scheme,
        splits: try flag(json, "split", default: true))
    case "FixedLength": return .fixedLength(try json.optional("length")?.asInt(in: 1...Int(Int32.max)) ?? 5)
    case "BertPreTokenizer": return .bert
    default: throw try unknown(json, "pre-tokenizer")
    }
  }

  private static func behavior(_ json: JSON) throws -> SplitBehavior {
    switch try json.asString() {
    case "Removed": .removed
    case "Isolated": .isolated
    case "MergedWithPrevious": .mergedWithPrevious
    case "MergedWithNext": .mergedWithNext
    case "Contiguous": .contiguous
    default: throw json.mismatch("a behavior of Split")
    }
  }

  private static func prependScheme(_ json: JSON) throws -> PreTokenizer.PrependScheme {
    let scheme: PreTokenizer.PrependScheme
    switch try json.optional("prepend_scheme")?.asString() ?? "always" {
    case "always": scheme = .always
    case "never": scheme = .never
    case "first": scheme = .first
    default: throw try json.required("prepend_scheme").mismatch("always, never or first")
    }
    if try flag(json, "add_prefix_space", default: true) { return scheme }
    guard scheme == .never || json["prepend_scheme"] == nil else {
      throw json.mismatch("a prepend_scheme that agrees with add_prefix_space")
    }
    return .never
  }

  private static func decoder(_ json: JSON) throws -> Decoder {
    switch try type(json) {
    case "ByteLevel": return .byteLevel
    case "WordPiece":
      return .wordPiece(
        prefix: try bytes(try json.required("prefix")), cleansUp: try json.required("cleanup").asBool())
    case "BPEDecoder": return .bpe(suffix: try bytes(try json.required("suffix")))
    case "Metaspace":
      return .metaspace(
        replacement: try scalar(try json.required("replacement")), prepends: try prependScheme(json) != .never)
    case "ByteFallback": return .byteFallback
    case "Fuse": return .fuse
    case "Strip":
      return .strip(
        try scalar(try json.required("content")), start: try json.required("start").asInt(in: 0...1 << 16),
        stop: try json.required("stop").asInt(in: 0...1 << 16))
    case "Replace": return .replace(try pattern(json), try bytes(try json.required("content")))
    case "CTC":
      return .ctc(
        pad: try bytes(try json.required("pad_token")),
        delimiter: try bytes(try json.required("word_delimiter_token")),
        cleansUp: try json.required("cleanup").asBool())
    default: throw try unknown(json, "decoder")
    }
  }
}
