internal import Tensors

/// Reads the `model` of a `tokenizer.json`.
enum ModelFile {
  /// The model, and whether it takes the bytes of words as they are.
  static func model(_ json: JSON, endsInBytes: Bool) throws -> (TokenModel, Bool) {
    switch try kind(json) {
    case "BPE": return try bpe(json, endsInBytes)
    case "WordPiece":
      let model = try WordPieceModel(
        vocabulary: try vocabulary(json), unknownToken: try json.required("unk_token").asString(),
        continuingPrefix: try TokenizerFile.bytes(try json.required("continuing_subword_prefix")),
        longestWord: try json.required("max_input_chars_per_word").asInt(in: 0...1 << 20))
      return (.wordPiece(model), false)
    case "WordLevel":
      let unknown = try json.required("unk_token").asString()
      return (.wordLevel(try WordLevelModel(vocabulary: try vocabulary(json), unknownToken: unknown)), false)
    case "Unigram":
      return (.unigram(try unigram(json)), false)
    default: throw try TokenizerFile.unknown(json, "model")
    }
  }

  /// Old files leave the type out: a BPE has merges, a WordPiece a prefix.
  private static func kind(_ json: JSON) throws -> String {
    if let type = try json.optional("type") { return try type.asString() }
    return json["merges"] != nil ? "BPE" : json["continuing_subword_prefix"] != nil ? "WordPiece" : "WordLevel"
  }

  private static func vocabulary(_ json: JSON) throws -> Vocabulary {
    let members = try json.required("vocab").asObject()
    var entries: [(token: [UInt8], id: Int)] = []
    entries.reserveCapacity(members.underestimatedCount)
    for (token, id) in members { entries.append((Array(token.utf8), try id.asInt(in: 0...Vocabulary.Limit.id - 1))) }
    return try Vocabulary(entries)
  }

  private static func unigram(_ json: JSON) throws -> UnigramModel {
    var tokens: [(token: [UInt8], score: Double)] = []
    let list = try json.required("vocab")
    guard list.count < Vocabulary.Limit.id else { throw BessemerError(.limit, "\(list.count) tokens") }
    for entry in try list.asArray() {
      var fields = try entry.asArray()
      guard entry.count == 2, let token = fields.next(), let score = fields.next() else {
        throw entry.mismatch("a token and its score")
      }
      tokens.append((try TokenizerFile.bytes(token), try score.asDouble()))
    }
    return try UnigramModel(
      tokens, unknownID: try json.optional("unk_id")?.asInt(in: 0...Vocabulary.Limit.id),
      fallsBackToBytes: try TokenizerFile.flag(json, "byte_fallback", default: false))
  }

  private static func bpe(_ json: JSON, _ endsInBytes: Bool) throws -> (TokenModel, Bool) {
    if let dropout = try json.optional("dropout"), try dropout.asDouble() != 0 {
      throw BessemerError(
        .unsupportedFeature, "the model has a dropout at byte \(dropout.byteOffset); encoding is deterministic")
    }
    var options = BPEModel.Options()
    options.unknownToken = try json.optional("unk_token")?.asString()
    options.continuingPrefix = try json.optional("continuing_subword_prefix").map(TokenizerFile.bytes) ?? []
    options.endOfWordSuffix = try json.optional("end_of_word_suffix").map(TokenizerFile.bytes) ?? []
    options.fusesUnknown = try TokenizerFile.flag(json, "fuse_unk", default: false)
    options.fallsBackToBytes = try TokenizerFile.flag(json, "byte_fallback", default: false)
    options.ignoresMerges = try TokenizerFile.flag(json, "ignore_merges", default: false)
    let vocabulary = try vocabulary(json)
    let merges = try merges(try json.required("merges"), vocabulary, prefix: options.continuingPrefix)
    let takesBytes = endsInBytes && BPEModel.canTakeBytes(vocabulary, options)
    let model = try BPEModel(vocabulary: vocabulary, merges: merges, options: options, takesBytes: takesBytes)
    return (.bpe(model), takesBytes)
  }

  /// Merges as `["a", "b"]` or `"a b"`, in the order of their ranks.
  private static func merges(
    _ list: JSON, _ vocabulary: Vocabulary, prefix: [UInt8]
  ) throws -> [(left: Int32, right: Int32, id: Int32)] {
    guard list.count <= TokenizerFile.Limit.merges else { throw BessemerError(.limit, "\(list.count) merges") }
    var merges: [(left: Int32, right: Int32, id: Int32)] = []
    merges.reserveCapacity(list.count)
    for entry in try list.asArray() {
      guard let (left, right) = try pair(entry) else { continue }
      guard right.starts(with: prefix) else { throw entry.mismatch("a second token that starts with the prefix") }
      func id(_ token: [UInt8]) throws -> Int32 {
        if let id = vocabulary.id(of: token) { return id }
        let name = quoted(String(decoding: token, as: UTF8.self))
        throw BessemerError(
          .tokenizer, "the merge at byte \(entry.byteOffset) needs token \(name), which is not in the vocabulary")
      }
      merges.append((try id(left), try id(right), try id(left + right.dropFirst(prefix.count))))
    }
    return merges
  }

  /// The two tokens of a merge; nil for the version line that old files begin with.
  private static func pair(_ entry: JSON) throws -> ([UInt8], [UInt8])? {
    if entry.kind == .array {
      var fields = entry.elements
      guard entry.count == 2, let left = fields.next(), let right = fields.next() else {
        throw entry.mismatch("two tokens")
      }
      return (Array(try left.asString().utf8), Array(try right.asString().utf8))
    }
    let text = Array(try entry.asString().utf8)
    if text.starts(with: "#version".utf8) { return nil }
    let parts = text.split(separator: 0x20, omittingEmptySubsequences: false)
    guard parts.count == 2 else { throw entry.mismatch("two tokens with a space between them") }
    return (Array(parts[0]), Array(parts[1]))
  }
}
