internal import Tensors

/// A token that is found in the text itself, before the model sees it.
struct AddedToken: Sendable {
  var content: [UInt8]
  var id: Int32
  var isSpecial = false
  var isSingleWord = false
  var stripsLeft = false
  var stripsRight = false
  var isNormalized = false
  /// The content after the normalizer, which is what is looked for and what the token decodes to.
  var normalized: [UInt8]
}

/// The added tokens of one kind, found leftmost first and the longest where several start.
struct AddedTokenMatcher: Sendable {
  private let tokens: [AddedToken]
  private let trie: ByteTrie
  private let isFirst: [Bool]
  private let tables = UnicodeTables.shared

  /// Nil if there are no tokens to look for.
  init?(_ tokens: [AddedToken]) throws(BessemerError) {
    if tokens.isEmpty { return nil }
    var trie = ByteTrie()
    var isFirst = [Bool](repeating: false, count: 256)
    for (index, token) in tokens.enumerated() {
      let name = quoted(String(decoding: token.content, as: UTF8.self))
      guard let first = token.normalized.first else {
        throw BessemerError(.tokenizer, "added token \(name) is empty once it is normalized")
      }
      isFirst[Int(first)] = true
      guard trie.insert(token.normalized, Int32(index)) else {
        throw BessemerError(.tokenizer, "two added tokens look for the same text \(name)")
      }
    }
    (self.tokens, self.trie, self.isFirst) = (tokens, trie, isFirst)
  }

  /// A part of the text, and the added token that it is.
  struct Segment: Sendable {
    var range: Range<Int>
    var id: Int32?
  }

  /// Cuts the text into added tokens and what is between them.
  func segments(_ text: Span<UInt8>) -> [Segment] {
    var segments: [Segment] = []
    var done = 0
    var position = 0
    while position < text.count {
      guard isFirst[Int(text[position])], let (length, index) = longest(text, position) else {
        position += 1
        continue
      }
      let token = tokens[index]
      var start = position
      var end = position + length
      position = end
      if token.isSingleWord {
        let touchesLeft = start > 0 && isWord(text, UTF8Text.start(text, before: start))
        let touchesRight = end < text.count && isWord(text, end)
        if touchesLeft || touchesRight { continue }
      }
      if token.stripsLeft { start = max(skippingSpaces(text, before: start), done) }
      if token.stripsRight { end = skippingSpaces(text, from: end) }
      if done < start { segments.append(Segment(range: done..<start)) }
      segments.append(Segment(range: min(start, end)..<end, id: token.id))
      done = end
    }
    if done < text.count { segments.append(Segment(range: done..<text.count)) }
    return segments
  }

  @inline(__always)
  private func longest(_ text: Span<UInt8>, _ start: Int) -> (length: Int, index: Int)? {
    var found: (Int, Int)?
    trie.forEachPrefix(text, start..<text.count) { value, end in found = (end - start, Int(value)) }
    return found
  }

  private func isWord(_ text: Span<UInt8>, _ position: Int) -> Bool {
    tables[UTF8Text.scalar(text, position).value].isCrateWord
  }

  private func skippingSpaces(_ text: Span<UInt8>, before end: Int) -> Int {
    var position = end
    while position > 0 {
      let start = UTF8Text.start(text, before: position)
      guard tables[UTF8Text.scalar(text, start).value].isSpace else { break }
      position = start
    }
    return position
  }

  private func skippingSpaces(_ text: Span<UInt8>, from start: Int) -> Int {
    var position = start
    while position < text.count {
      let (scalar, length) = UTF8Text.scalar(text, position)
      guard tables[scalar].isSpace else { break }
      position += length
    }
    return position
  }
}
