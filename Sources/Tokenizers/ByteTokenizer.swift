public import Tensors

/// ByT5's tokenizer: each byte of UTF-8 is a token, behind three special ones; further ones stand after the bytes.
///
/// Source: `tokenization_byt5.py` of transformers; Xue et al., arXiv 2105.13626.
public struct ByteTokenizer: Sendable {
  /// The token that fills up, and the one that ends a text.
  public let padding: Int32
  public let end: Int32
  private let matcher: AddedTokenMatcher?

  /// The token of byte 0.
  static let firstByte: Int32 = 3
  /// Tokens after those of bytes that a release has unless its files say otherwise.
  private static let extraCount = 125

  /// Reads a tokenizer_config.json; the tokens of the release stand for what it does not say.
  ///
  /// Throws ``ErrorCode/json`` or ``ErrorCode/tokenizer`` for a malformed one, and ``ErrorCode/unsupportedFeature``
  /// when it is for another kind of tokenizer.
  public init(json: JSON?) throws {
    if let name = try json?.optional("tokenizer_class")?.asString(), name != "ByT5Tokenizer" {
      throw BessemerError(.unsupportedFeature, "the tokenizer is a \(quoted(name)), expected ByT5Tokenizer")
    }
    let tokens = try json?.optional("added_tokens_decoder").map(ByteTokenizer.tokens) ?? ByteTokenizer.standardTokens
    func id(_ key: String, _ standard: String) throws -> Int32 {
      let named = try json?.optional(key)
      let name = try (named?.kind == .object ? named?.required("content") : named)?.asString() ?? standard
      guard let token = tokens.first(where: { $0.content == Array(name.utf8) }) else {
        throw BessemerError(.tokenizer, "\(key) \(quoted(name)) is no token")
      }
      return token.id
    }
    padding = try id("pad_token", "<pad>")
    end = try id("eos_token", "</s>")
    matcher = try AddedTokenMatcher(tokens)
  }

  /// The tokens of a text, the end among them; at most `maxLength`, cut before the end.
  public func encode(_ text: String, maxLength: Int? = nil) throws(BessemerError) -> [Int32] {
    let bytes = Array(text.utf8)
    try PieceBuffer.check(bytes.count)
    if let maxLength, maxLength < 1 {
      throw BessemerError(.limit, "maxLength is \(maxLength), but 1 special token is added")
    }
    var ids: [Int32] = []
    ids.reserveCapacity(bytes.count + 1)
    for segment in matcher?.segments(bytes.span) ?? [.init(range: 0..<bytes.count)] {
      if let id = segment.id {
        ids.append(id)
      } else {
        ids += bytes[segment.range].map { Int32($0) + ByteTokenizer.firstByte }
      }
    }
    if let maxLength { ids = Array(ids.prefix(maxLength - 1)) }
    // A text that ends itself gets no second end.
    return ids.last == end ? ids : ids + [end]
  }

  private static func tokens(_ json: JSON) throws -> [AddedToken] {
    let members = try json.asObject()
    guard json.count <= TokenizerFile.Limit.addedTokens else {
      throw BessemerError(.limit, "\(json.count) added tokens")
    }
    return try members.map { key, entry in
      guard let id = Int32(key), id >= 0 else {
        throw BessemerError(.tokenizer, "added_tokens_decoder has the key \(quoted(key)), expected a token id")
      }
      let content = try TokenizerFile.bytes(try entry.required("content"))
      return AddedToken(
        content: content, id: id, isSingleWord: try TokenizerFile.flag(entry, "single_word", default: false),
        stripsLeft: try TokenizerFile.flag(entry, "lstrip", default: false),
        stripsRight: try TokenizerFile.flag(entry, "rstrip", default: false), normalized: content)
    }
  }

  private static var standardTokens: [AddedToken] {
    let special = ["<pad>", "</s>", "<unk>"].enumerated().map { k, name in
      AddedToken(
        content: Array(name.utf8), id: Int32(k), stripsLeft: true, stripsRight: true, normalized: Array(name.utf8))
    }
    let extra = (0..<extraCount).map { k in
      let name = Array("<extra_id_\(k)>".utf8)
      return AddedToken(content: name, id: firstByte + 256 + Int32(k), normalized: name)
    }
    return special + extra
  }
}
