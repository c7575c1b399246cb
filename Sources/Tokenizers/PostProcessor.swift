internal import Tensors

/// Puts special tokens around one or two sequences.
struct PostProcessor: Sendable {
  /// A part of the result.
  enum Part: Sendable {
    /// The first (0) or second (1) sequence, and its type.
    case sequence(Int, type: Int32)
    case special([Int32], type: Int32)
  }

  /// What the result consists of for one sequence.
  var single: [Part]
  /// What the result consists of for two.
  var pair: [Part]

  /// The sequences one after the other, with types 0 and 1.
  static let plain = PostProcessor(
    single: [.sequence(0, type: 0)], pair: [.sequence(0, type: 0), .sequence(1, type: 1)])

  private func parts(isPair: Bool) -> [Part] { isPair ? pair : single }

  /// How many special tokens are added.
  func addedCount(isPair: Bool) -> Int {
    parts(isPair: isPair).reduce(0) { sum, part in
      if case .special(let ids, _) = part { sum + ids.count } else { sum }
    }
  }

  /// The ids and types of the whole.
  func apply(_ sequences: [[Int32]], addSpecialTokens: Bool) -> Tokenizer.Encoding {
    var encoding = Tokenizer.Encoding(ids: [], typeIDs: [])
    for part in parts(isPair: sequences.count > 1) {
      switch part {
      case .sequence(let index, let type):
        encoding.ids += sequences[index]
        encoding.typeIDs += [Int32](repeating: type, count: sequences[index].count)
      case .special(let ids, let type):
        guard addSpecialTokens else { continue }
        encoding.ids += ids
        encoding.typeIDs += [Int32](repeating: type, count: ids.count)
      }
    }
    return encoding
  }
}

/// How the library shortens sequences that are too long: from the right, the longer of two first.
enum Truncation {
  /// The lengths that two sequences are cut to.
  static func lengths(_ first: Int, _ second: Int, limit: Int) -> (Int, Int) {
    guard first + second > limit else { return (first, second) }
    let isSwapped = first > second
    var short = min(first, second)
    var long = short > limit ? short : max(short, limit - short)
    if short + long > limit {
      short = limit / 2
      long = short + limit % 2
    }
    return isSwapped ? (long, short) : (short, long)
  }
}
