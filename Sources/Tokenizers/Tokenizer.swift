public import Tensors

/// A tokenizer read from a `tokenizer.json`: turns text into ids and back exactly as the `tokenizers` library does.
///
/// ```swift
/// let tokenizer = try Tokenizer(json: JSON.parse(bytes))
/// let ids = try tokenizer.encode("Hello, world!")
/// let text = try tokenizer.decode(ids)
/// ```
///
/// Truncation and padding that the file asks for are not applied; pass `maxLength` instead. A value is immutable and
/// can be used from several threads at once.
public struct Tokenizer: Sendable {
  /// Ids and, for each, the number of the sequence it belongs to as the post-processor counts them.
  public struct Encoding: Sendable, Equatable {
    /// The ids of the tokens.
    public var ids: [Int32]
    /// The segment of each token: 0, or 1 for a second sequence.
    public var typeIDs: [Int32]

    /// An encoding of given ids and types, which are of one length.
    public init(ids: [Int32], typeIDs: [Int32]) {
      self.ids = ids
      self.typeIDs = typeIDs
    }
  }

  let components: TokenizerComponents
  private let rawMatcher: AddedTokenMatcher?
  private let normalizedMatcher: AddedTokenMatcher?
  private let addedByID: [Int32: AddedToken]
  private let addedIDs: [[UInt8]: Int32]
  private let specialIDs: Set<Int32>
  /// For each id whether it is an added token.
  private let isAdded: [Bool]

  /// Reads a tokenizer from a parsed `tokenizer.json`.
  ///
  /// Throws ``ErrorCode/tokenizer`` or ``ErrorCode/json`` for a malformed file and ``ErrorCode/unsupportedFeature``,
  /// with its name, for a component that is not known.
  public init(json: JSON) throws {
    try self.init(TokenizerFile.components(json))
  }

  init(_ components: TokenizerComponents) throws(BessemerError) {
    self.components = components
    var byID: [Int32: AddedToken] = [:]
    var ids: [[UInt8]: Int32] = [:]
    var special: Set<[UInt8]> = []
    for token in components.addedTokens {
      var token = token
      if token.isNormalized {
        token.normalized = try Self.normalized(token.content, components.normalizers, originByteCount: 0).bytes
      }
      byID[token.id] = token
      ids[token.content] = token.id
      if token.isSpecial { special.insert(token.content) }
    }
    addedByID = byID
    addedIDs = ids
    let known = byID.values.sorted { $0.id < $1.id }
    var isAdded = [Bool](repeating: false, count: known.last.map { Int($0.id) + 1 } ?? 0)
    for token in known { isAdded[Int(token.id)] = true }
    self.isAdded = isAdded
    specialIDs = Set(known.filter { special.contains($0.normalized) }.map(\.id))
    rawMatcher = try AddedTokenMatcher(known.filter { !$0.isNormalized })
    normalizedMatcher = try AddedTokenMatcher(known.filter(\.isNormalized))
  }

  /// The number of different tokens, added ones included.
  public var vocabularySize: Int {
    let model = components.model.vocabulary
    return model.count + addedIDs.keys.reduce(0) { $0 + (model.id(of: $1) == nil ? 1 : 0) }
  }

  /// The greatest id of any token, or -1 if there is none.
  public var lastID: Int32 { max(components.model.vocabulary.lastID, addedByID.keys.max() ?? -1) }

  /// The id of a token, as the vocabulary writes it, or nil.
  public func id(of token: String) -> Int32? {
    let bytes = Array(token.utf8)
    return addedIDs[bytes] ?? components.model.vocabulary.id(of: bytes)
  }

  /// The token with an id, as the vocabulary writes it, or nil.
  public func token(of id: Int32) -> String? {
    tokenBytes(id).map { String(decoding: $0, as: UTF8.self) }
  }

  /// Whether the token with this id is left out of decoded text by default.
  public func isSpecial(_ id: Int32) -> Bool { specialIDs.contains(id) }

  func tokenBytes(_ id: Int32) -> [UInt8]? {
    if let added = addedByID[id] { return added.normalized }
    return components.model.vocabulary.token(of: id).map { Array($0) }
  }

  /// The ids of a text.
  ///
  /// - Parameters:
  ///   - addSpecialTokens: whether the tokens that the post-processor adds are wanted.
  ///   - maxLength: the most ids to return; the text is cut at its end and special tokens are kept.
  /// - Throws: ``ErrorCode/limit`` for a text over 1 GiB, a pattern that takes too many steps on it, or a `maxLength`
  ///   below the number of special tokens; ``ErrorCode/tokenizer`` if the text has a character that the model has no
  ///   token for and the file names an unknown token that does not exist.
  public func encode(
    _ text: String, addSpecialTokens: Bool = true, maxLength: Int? = nil
  ) throws(BessemerError) -> [Int32] {
    try encoding([text], addSpecialTokens, maxLength).ids
  }

  /// The ids and types of two texts that belong together, such as a question and a passage. With `maxLength`, the
  /// longer one is cut first. Throws as ``encode(_:addSpecialTokens:maxLength:)`` does.
  public func encode(
    _ text: String, pair: String, addSpecialTokens: Bool = true, maxLength: Int? = nil
  ) throws(BessemerError) -> Encoding {
    try encoding([text, pair], addSpecialTokens, maxLength)
  }

  private func encoding(
    _ texts: [String], _ addSpecialTokens: Bool, _ maxLength: Int?
  ) throws(BessemerError) -> Encoding {
    let processor = components.postProcessor
    var room: Int?
    if let maxLength {
      let added = addSpecialTokens ? processor.addedCount(isPair: texts.count > 1) : 0
      guard maxLength >= added else {
        throw BessemerError(.limit, "maxLength is \(maxLength), but \(added) special tokens are added")
      }
      room = maxLength - added
    }
    var sequences: [[Int32]] = []
    // Which of two texts is cut depends on their whole lengths.
    for text in texts { sequences.append(try tokens(text, atLeast: texts.count == 1 ? maxLength : nil)) }
    if let room {
      let lengths =
        sequences.count == 2 ? Truncation.lengths(sequences[0].count, sequences[1].count, limit: room) : (room, 0)
      sequences[0] = Array(sequences[0].prefix(lengths.0))
      if sequences.count == 2 { sequences[1] = Array(sequences[1].prefix(lengths.1)) }
    }
    return processor.apply(sequences, addSpecialTokens: addSpecialTokens)
  }

  /// The model's ids of a text. With a wanted length, stops after the word that reaches it.
  private func tokens(_ text: String, atLeast wanted: Int?) throws(BessemerError) -> [Int32] {
    let bytes = Array(text.utf8)
    try PieceBuffer.check(bytes.count)
    var budget = Regex.Budget(byteCount: bytes.count)
    var run = ModelRun(components.model, byteCount: bytes.count, wanted: wanted)
    for outer in rawMatcher?.segments(bytes.span) ?? [.init(range: 0..<bytes.count)] {
      if let id = outer.id {
        run.append(id)
        continue
      }
      let isWhole = outer.range.count == bytes.count
      var part = NormalizedText(bytes: isWhole ? bytes : Array(bytes[outer.range]), originByteCount: 0)
      guard !part.bytes.isEmpty else { continue }
      if outer.range.lowerBound == 0 { part.originByteCount = UTF8Text.scalar(part.bytes.span, 0).length }
      for normalizer in components.normalizers { try normalizer.apply(&part, &budget) }
      for inner in normalizedMatcher?.segments(part.bytes.span) ?? [.init(range: 0..<part.bytes.count)] {
        if let id = inner.id {
          run.append(id)
        } else if !run.isDone {
          let isWhole = inner.range.count == part.bytes.count
          let origin = min(max(0, part.originByteCount - inner.range.lowerBound), inner.range.count)
          var buffer = try PieceBuffer(isWhole ? part.bytes : Array(part.bytes[inner.range]), originByteCount: origin)
          for step in components.preTokenizers { try step.apply(&buffer, &budget) }
          if let last = components.finalByteLevel {
            try PreTokenizer.cutLikeByteLevel(
              &buffer, addsPrefixSpace: last.addsPrefixSpace, splits: last.splits, &budget)
          }
          try run.encode(buffer)
        }
      }
      if run.isDone { break }
    }
    return run.ids
  }

  private static func normalized(
    _ bytes: [UInt8], _ normalizers: [Normalizer], originByteCount: Int
  ) throws(BessemerError) -> NormalizedText {
    var text = NormalizedText(bytes: bytes, originByteCount: originByteCount)
    var budget = Regex.Budget(byteCount: bytes.count)
    for normalizer in normalizers { try normalizer.apply(&text, &budget) }
    return text
  }

  /// The text of ids. Ids without a token are passed over, as the library does.
  ///
  /// Throws ``ErrorCode/limit`` if a pattern of the decoder takes too many steps.
  public func decode(_ ids: [Int32], skipSpecialTokens: Bool = true) throws(BessemerError) -> String {
    if components.decodesBytes { return decodeBytes(ids, skipSpecialTokens: skipSpecialTokens) }
    var tokens: [[UInt8]] = []
    tokens.reserveCapacity(ids.count)
    for id in ids {
      if skipSpecialTokens && isSpecial(id) { continue }
      if let token = tokenBytes(id) { tokens.append(token) }
    }
    guard let decoders = components.decoders else {
      return String(decoding: Array(tokens.joined(separator: [0x20])), as: UTF8.self)
    }
    var budget = Regex.Budget(byteCount: tokens.reduce(0) { $0 + $1.count })
    for decoder in decoders { tokens = try decoder.apply(tokens, &budget) }
    return String(decoding: Array(tokens.joined()), as: UTF8.self)
  }

  /// Decodes with ByteLevel alone, without a copy of each token.
  private func decodeBytes(_ ids: [Int32], skipSpecialTokens: Bool) -> String {
    var out: [UInt8] = []
    out.reserveCapacity(ids.count * 4)
    for id in ids {
      if isAdded.indices.contains(Int(id)), isAdded[Int(id)], let added = addedByID[id] {
        if skipSpecialTokens && specialIDs.contains(id) { continue }
        ByteAlphabet.decode(added.normalized[...], into: &out)
      } else if let token = components.model.vocabulary.token(of: id) {
        ByteAlphabet.decode(token, into: &out)
      }
    }
    return String(decoding: out, as: UTF8.self)
  }
}
