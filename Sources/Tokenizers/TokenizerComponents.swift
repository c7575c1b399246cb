internal import Tensors

/// What a tokenizer consists of, as the file says it and checked.
struct TokenizerComponents: Sendable {
  var addedTokens: [AddedToken] = []
  var normalizers: [Normalizer] = []
  var preTokenizers: [PreTokenizer] = []
  /// Set when the last pre-tokenizer is ByteLevel and the model takes the bytes as they are.
  var finalByteLevel: (addsPrefixSpace: Bool, splits: Bool)?
  var model: TokenModel
  var postProcessor = PostProcessor.plain
  /// Nil without a decoder: tokens are joined with spaces.
  var decoders: [Decoder]?

  /// Whether ByteLevel is all of the decoder.
  var decodesBytes: Bool {
    if case .byteLevel? = decoders?.first { decoders?.count == 1 } else { false }
  }
}

/// The models of tokenizer files.
enum TokenModel: Sendable {
  case bpe(BPEModel)
  case wordPiece(WordPieceModel)
  case wordLevel(WordLevelModel)
  case unigram(UnigramModel)

  var vocabulary: Vocabulary {
    switch self {
    case .bpe(let model): model.vocabulary
    case .wordPiece(let model): model.vocabulary
    case .wordLevel(let model): model.vocabulary
    case .unigram(let model): model.vocabulary
    }
  }
}

/// One text on its way through a model.
struct ModelRun {
  private let model: TokenModel
  private let wanted: Int
  private(set) var ids: [Int32] = []
  /// Whether enough tokens are there; added tokens that follow are still taken.
  private(set) var isDone = false
  private var merger = Merger()
  private var scratch: [UInt8] = []
  private var cache: WordCache?

  init(_ model: TokenModel, byteCount: Int, wanted: Int?) {
    self.model = model
    self.wanted = wanted ?? Int.max
    ids.reserveCapacity(min(byteCount / 3, self.wanted) + 8)
    if case .bpe = model { cache = WordCache(byteCount: byteCount) }
  }

  /// Appends an added token.
  mutating func append(_ id: Int32) {
    if !isDone { ids.append(id) }
  }

  /// Appends the tokens of all pieces.
  mutating func encode(_ buffer: PieceBuffer) throws(BessemerError) {
    let text = buffer.bytes.span
    switch model {
    case .bpe(let model): try encode(buffer.pieces, model, text)
    case .wordPiece(let model):
      for piece in buffer.pieces where !isDone {
        model.encode(text, piece.range, &scratch, into: &ids)
        isDone = ids.count >= wanted
      }
    case .wordLevel(let model):
      for piece in buffer.pieces where !isDone {
        model.encode(text, piece.range, into: &ids)
        isDone = ids.count >= wanted
      }
    case .unigram(let model):
      for piece in buffer.pieces where !isDone {
        try model.encode(text, piece.range, into: &ids)
        isDone = ids.count >= wanted
      }
    }
  }

  private mutating func encode(_ pieces: [Piece], _ model: BPEModel, _ text: Span<UInt8>) throws(BessemerError) {
    for piece in pieces {
      let range = piece.range
      if range.count <= WordCache.longestWord, cache != nil {
        let key = WordCache.Key(text, range)
        if cache?.append(key, to: &ids) != true {
          let mark = ids.count
          try model.encode(text, range, &merger, into: &ids)
          cache?.insert(key, ids, from: mark)
        }
      } else {
        try model.encode(text, range, &merger, into: &ids)
      }
      if ids.count >= wanted {
        isDone = true
        return
      }
    }
  }
}

/// The ids of words met before in the same text.
struct WordCache {
  /// Longer words are not kept.
  static let longestWord = 15
  private static let longestResult = 6

  /// A short word, packed with its length.
  struct Key: Equatable {
    var low: UInt64 = 0
    var high: UInt64 = 0

    @inline(__always)
    init(_ text: Span<UInt8>, _ range: Range<Int>) {
      var shift: UInt64 = 0
      for index in range {
        if shift < 64 {
          low |= UInt64(text[index]) << shift
        } else {
          high |= UInt64(text[index]) << (shift - 64)
        }
        shift += 8
      }
      high |= UInt64(range.count) << 56
    }

    fileprivate init() {}
  }

  private struct Entry {
    var key = Key()
    var count: Int32 = 0
    var ids: (Int32, Int32, Int32, Int32, Int32, Int32) = (0, 0, 0, 0, 0, 0)
  }

  private var entries: [Entry]
  private let mask: Int

  /// Nil for texts too short to gain from it.
  init?(byteCount: Int) {
    guard byteCount >= 1 << 10 else { return nil }
    var size = 256
    while size < 1 << 15, size * 16 < byteCount { size *= 2 }
    entries = [Entry](repeating: Entry(), count: size)
    mask = size - 1
  }

  @inline(__always)
  private func slot(_ key: Key) -> Int {
    Int(truncatingIfNeeded: ByteHash.mix(key.low ^ 0x9E37_79B9_7F4A_7C15, key.high ^ 0xD1B5_4A32_D192_ED03)) & mask
  }

  /// Appends the ids of a word if they are known.
  @inline(__always)
  func append(_ key: Key, to ids: inout [Int32]) -> Bool {
    let slot = slot(key)
    guard entries[slot].key == key else { return false }
    let known = entries[slot].ids
    let count = entries[slot].count
    if count > 0 { ids.append(known.0) }
    if count > 1 { ids.append(known.1) }
    if count > 2 { ids.append(known.2) }
    if count > 3 { ids.append(known.3) }
    if count > 4 { ids.append(known.4) }
    if count > 5 { ids.append(known.5) }
    return true
  }

  @inline(__always)
  mutating func insert(_ key: Key, _ ids: [Int32], from mark: Int) {
    let count = ids.count - mark
    guard count <= Self.longestResult else { return }
    func id(_ index: Int) -> Int32 { index < count ? ids[mark + index] : 0 }
    entries[slot(key)] = Entry(key: key, count: Int32(count), ids: (id(0), id(1), id(2), id(3), id(4), id(5)))
  }
}
