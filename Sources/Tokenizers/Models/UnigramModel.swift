internal import Tensors

/// Cuts a text into the tokens of the greatest total score.
struct UnigramModel: Sendable {
  /// How far the score of an unknown character is below that of the worst token.
  private static let unknownPenalty = 10.0

  let vocabulary: Vocabulary
  private let scores: [Double]
  private let trie: ByteTrie
  private let unknownID: Int32?
  private let unknownScore: Double
  private let byteTokens: [Int32]?

  /// Tokens in the order of their ids, which count from zero.
  init(_ tokens: [(token: [UInt8], score: Double)], unknownID: Int?, fallsBackToBytes: Bool) throws(BessemerError) {
    if let unknownID, !tokens.indices.contains(unknownID) {
      throw BessemerError(.tokenizer, "unk_id is \(unknownID), but the vocabulary has \(tokens.count) tokens")
    }
    var trie = ByteTrie()
    for (id, entry) in tokens.enumerated() where !entry.token.isEmpty { _ = trie.insert(entry.token, Int32(id)) }
    let vocabulary = try Vocabulary(tokens.enumerated().map { ($0.element.token, $0.offset) })
    self.trie = trie
    self.vocabulary = vocabulary
    scores = tokens.map(\.score)
    self.unknownID = unknownID.map { Int32($0) }
    unknownScore = (scores.min() ?? .infinity) - Self.unknownPenalty
    byteTokens = fallsBackToBytes ? BPEModel.byteTokens(vocabulary) : nil
  }

  private struct Best {
    var id: Int32 = -1
    var score = 0.0
    var start = -1
  }

  /// Appends the ids of a piece.
  func encode(_ text: Span<UInt8>, _ range: Range<Int>, into ids: inout [Int32]) throws(BessemerError) {
    let base = range.lowerBound
    var best = [Best](repeating: Best(), count: range.count + 1)
    func offer(_ end: Int, _ candidate: Best) {
      if best[end - base].start < 0 || candidate.score > best[end - base].score { best[end - base] = candidate }
    }
    var position = base
    while position < range.upperBound {
      let next = position + UTF8Text.scalar(text, position).length
      let score = best[position - base].score
      var hasSingle = false
      trie.forEachPrefix(text, position..<range.upperBound) { id, end in
        offer(end, Best(id: id, score: scores[Int(id)] + score, start: position))
        if end == next { hasSingle = true }
      }
      if !hasSingle {
        let unknown = Best(id: unknownID ?? -1, score: unknownScore + score, start: position)
        let before = best[next - base]
        if unknownID == nil, before.start < 0 || unknown.score > before.score {
          throw BessemerError(.tokenizer, "the text has an unknown character, but the file names no unknown token")
        }
        offer(next, unknown)
      }
      position = next
    }
    try trace(text, range, best, into: &ids)
  }

  /// Follows the best path back; unknown characters next to each other count as one.
  private func trace(
    _ text: Span<UInt8>, _ range: Range<Int>, _ best: [Best], into ids: inout [Int32]
  ) throws(BessemerError) {
    let base = range.lowerBound
    var parts: [(range: Range<Int>, isUnknown: Bool)] = []
    var end = range.upperBound
    while end > base {
      let node = best[end - base]
      let isUnknown = node.id == unknownID
      if isUnknown, let last = parts.last, last.isUnknown {
        parts[parts.count - 1].range = node.start..<last.range.upperBound
      } else {
        parts.append((node.start..<end, isUnknown))
      }
      end = node.start
    }
    for part in parts.reversed() {
      let id = vocabulary.id(text, part.range)
      if id >= 0 {
        ids.append(id)
      } else if let byteTokens, part.range.allSatisfy({ byteTokens[Int(text[$0])] >= 0 }) {
        for index in part.range { ids.append(byteTokens[Int(text[index])]) }
      } else if let unknownID {
        ids.append(unknownID)
      }
    }
  }
}
