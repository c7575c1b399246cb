internal import Tensors

/// Byte-pair encoding over characters, or over bytes when the pre-tokenizer ends with ByteLevel.
struct BPEModel: Sendable {
  /// What the file says besides vocabulary and merges.
  struct Options: Sendable {
    var unknownToken: String?
    var continuingPrefix: [UInt8] = []
    var endOfWordSuffix: [UInt8] = []
    var fusesUnknown = false
    var fallsBackToBytes = false
    var ignoresMerges = false
  }

  let vocabulary: Vocabulary
  private let options: Options
  private let merges: MergeTable
  /// The ids of `<0x00>` to `<0xFF>`, -1 where there is none.
  private let byteTokens: [Int32]
  private let unknownID: Int32?
  /// Set when words come as plain bytes.
  private let byteForm: ByteForm?

  /// What the model needs to take words as plain bytes instead of ByteLevel's characters.
  private struct ByteForm: Sendable {
    /// The token of each single byte, -1 where there is none.
    var symbols: [Int32]
    /// The vocabulary with its tokens as plain bytes; only for `ignore_merges`.
    var vocabulary: Vocabulary?
  }

  init(
    vocabulary: Vocabulary, merges: [(left: Int32, right: Int32, id: Int32)], options: Options, takesBytes: Bool
  ) throws(BessemerError) {
    self.vocabulary = vocabulary
    self.options = options
    self.merges = MergeTable(merges)
    unknownID = options.unknownToken.flatMap { vocabulary.id(of: $0) }
    byteTokens = Self.byteTokens(vocabulary)
    byteForm = takesBytes ? try Self.byteForm(vocabulary, options) : nil
  }

  /// The ids of `<0x00>` to `<0xFF>`, -1 where there is none.
  static func byteTokens(_ vocabulary: Vocabulary) -> [Int32] {
    let digits = Array("0123456789ABCDEF")
    return (0..<256).map { vocabulary.id(of: "<0x\(digits[$0 >> 4])\(digits[$0 & 15])>") ?? -1 }
  }

  /// Whether the model can take plain bytes; if not, the pre-tokenizer has to rename them.
  static func canTakeBytes(_ vocabulary: Vocabulary, _ options: Options) -> Bool {
    let hasAll = ByteAlphabet.scalars.allSatisfy { scalar in
      var bytes: [UInt8] = []
      UTF8Text.append(scalar, to: &bytes)
      return vocabulary.id(of: bytes) != nil
    }
    let dropsUnknown = options.unknownToken == nil && !options.fallsBackToBytes
    return options.continuingPrefix.isEmpty && options.endOfWordSuffix.isEmpty && (hasAll || dropsUnknown)
  }

  private static func byteForm(_ vocabulary: Vocabulary, _ options: Options) throws(BessemerError) -> ByteForm {
    let symbols = ByteAlphabet.scalars.map { scalar in
      var bytes: [UInt8] = []
      UTF8Text.append(scalar, to: &bytes)
      return vocabulary.id(of: bytes) ?? -1
    }
    var form = ByteForm(symbols: symbols)
    if options.ignoresMerges {
      var entries: [(token: [UInt8], id: Int)] = []
      for (token, id) in vocabulary.entries {
        if let bytes = ByteAlphabet.decode(Array(token)) { entries.append((bytes, Int(id))) }
      }
      form.vocabulary = try Vocabulary(entries)
    }
    return form
  }

  /// Appends the ids of a word.
  func encode(
    _ text: Span<UInt8>, _ range: Range<Int>, _ merger: inout Merger, into ids: inout [Int32]
  ) throws(BessemerError) {
    merger.symbols.removeAll(keepingCapacity: true)
    if let byteForm {
      if let vocabulary = byteForm.vocabulary {
        let id = vocabulary.id(text, range)
        if id >= 0 {
          ids.append(id)
          return
        }
      }
      for index in range {
        let symbol = byteForm.symbols[Int(text[index])]
        if symbol >= 0 { merger.symbols.append(symbol) }
      }
    } else {
      if options.ignoresMerges {
        let id = vocabulary.id(text, range)
        if id >= 0 {
          ids.append(id)
          return
        }
      }
      try characters(text, range, &merger.symbols)
    }
    merger.run(merges)
    ids.append(contentsOf: merger.symbols)
  }

  /// The tokens of a word's characters, with what stands for unknown ones.
  private func characters(_ text: Span<UInt8>, _ range: Range<Int>, _ symbols: inout [Int32]) throws(BessemerError) {
    let isPlain = options.continuingPrefix.isEmpty && options.endOfWordSuffix.isEmpty
    var hasUnknown = false
    var position = range.lowerBound
    while position < range.upperBound {
      let end = position + UTF8Text.scalar(text, position).length
      let id: Int32
      var decorated: [UInt8] = []
      if isPlain {
        id = vocabulary.id(text, position..<end)
      } else {
        if position > range.lowerBound { decorated += options.continuingPrefix }
        for index in position..<end { decorated.append(text[index]) }
        if end == range.upperBound { decorated += options.endOfWordSuffix }
        id = vocabulary.id(decorated.span, 0..<decorated.count)
      }
      if id >= 0 {
        try flush(&hasUnknown, &symbols)
        symbols.append(id)
      } else if isPlain, options.fallsBackToBytes, fallBack(text, position..<end, &symbols) {
      } else if !isPlain, options.fallsBackToBytes, fallBack(decorated.span, 0..<decorated.count, &symbols) {
      } else if options.unknownToken != nil {
        if hasUnknown && !options.fusesUnknown { try flush(&hasUnknown, &symbols) }
        hasUnknown = true
      }
      position = end
    }
    try flush(&hasUnknown, &symbols)
  }

  private func flush(_ hasUnknown: inout Bool, _ symbols: inout [Int32]) throws(BessemerError) {
    guard hasUnknown else { return }
    hasUnknown = false
    guard let unknownID else {
      let name = quoted(options.unknownToken ?? "")
      throw BessemerError(
        .tokenizer, "the text has an unknown character, but the unknown token \(name) is not in the vocabulary")
    }
    symbols.append(unknownID)
  }

  private func fallBack(_ text: Span<UInt8>, _ range: Range<Int>, _ symbols: inout [Int32]) -> Bool {
    for index in range where byteTokens[Int(text[index])] < 0 { return false }
    for index in range { symbols.append(byteTokens[Int(text[index])]) }
    return true
  }
}
