internal import Tensors

/// Cuts a word into the longest known beginnings; a word that cannot be cut is unknown as a whole.
struct WordPieceModel: Sendable {
  let vocabulary: Vocabulary
  private let unknownID: Int32
  private let prefix: [UInt8]
  private let longestWord: Int
  /// The longest token in bytes: nothing longer needs to be looked up.
  private let longestToken: Int

  init(
    vocabulary: Vocabulary, unknownToken: String, continuingPrefix: [UInt8], longestWord: Int
  ) throws(BessemerError) {
    guard let unknownID = vocabulary.id(of: unknownToken) else {
      throw BessemerError(.tokenizer, "the unknown token \(quoted(unknownToken)) is not in the vocabulary")
    }
    self.vocabulary = vocabulary
    self.unknownID = unknownID
    prefix = continuingPrefix
    self.longestWord = longestWord
    longestToken = vocabulary.entries.reduce(0) { max($0, $1.token.count) }
  }

  /// Appends the ids of a word.
  func encode(_ text: Span<UInt8>, _ range: Range<Int>, _ scratch: inout [UInt8], into ids: inout [Int32]) {
    var characters = 0
    for index in range where text[index] & 0xC0 != 0x80 { characters += 1 }
    if characters > longestWord {
      ids.append(unknownID)
      return
    }
    let mark = ids.count
    var start = range.lowerBound
    while start < range.upperBound {
      guard let (id, end) = longest(text, start, range, &scratch) else {
        ids.removeLast(ids.count - mark)
        ids.append(unknownID)
        return
      }
      ids.append(id)
      start = end
    }
  }

  @inline(__always)
  private func longest(
    _ text: Span<UInt8>, _ start: Int, _ word: Range<Int>, _ scratch: inout [UInt8]
  ) -> (Int32, Int)? {
    let isFirst = start == word.lowerBound
    let lead = isFirst ? 0 : prefix.count
    var end = min(word.upperBound, start + max(0, longestToken - lead))
    while end < word.upperBound, end > start, text[end] & 0xC0 == 0x80 { end -= 1 }
    if !isFirst {
      scratch.removeAll(keepingCapacity: true)
      scratch += prefix
      for index in start..<end { scratch.append(text[index]) }
    }
    while end > start {
      let id = isFirst ? vocabulary.id(text, start..<end) : vocabulary.id(scratch.span, 0..<lead + end - start)
      if id >= 0 { return (id, end) }
      end = UTF8Text.start(text, before: end)
    }
    return nil
  }
}

/// Looks whole words up.
struct WordLevelModel: Sendable {
  let vocabulary: Vocabulary
  private let unknownID: Int32

  init(vocabulary: Vocabulary, unknownToken: String) throws(BessemerError) {
    guard let unknownID = vocabulary.id(of: unknownToken) else {
      throw BessemerError(.tokenizer, "the unknown token \(quoted(unknownToken)) is not in the vocabulary")
    }
    self.vocabulary = vocabulary
    self.unknownID = unknownID
  }

  /// Appends the id of a word.
  func encode(_ text: Span<UInt8>, _ range: Range<Int>, into ids: inout [Int32]) {
    let id = vocabulary.id(text, range)
    ids.append(id < 0 ? unknownID : id)
  }
}
