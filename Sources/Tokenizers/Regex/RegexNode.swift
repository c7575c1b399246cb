/// A pattern as it is written, before it is compiled.
indirect enum RegexNode: Sendable {
  case empty
  case set(ScalarSet)
  case assertion(RegexAssertion)
  case sequence([RegexNode])
  case alternatives([RegexNode])
  case repetition(RegexNode, min: Int, max: Int?, RegexGreed)
  case atomic(RegexNode)
  /// A group whose text is noted under this number, from zero.
  case capture(RegexNode, Int)
  case look(RegexNode, ahead: Bool, negative: Bool)

  /// Whether this can match without consuming anything.
  var isNullable: Bool {
    switch self {
    case .empty, .assertion, .look: true
    case .set: false
    case .sequence(let nodes): nodes.allSatisfy(\.isNullable)
    case .alternatives(let nodes): nodes.contains(where: \.isNullable)
    case .repetition(let node, let min, _, _): min == 0 || node.isNullable
    case .atomic(let node), .capture(let node, _): node.isNullable
    }
  }

  /// The number of scalars this matches if it is always the same.
  var fixedLength: Int? {
    switch self {
    case .empty, .assertion, .look: return 0
    case .set: return 1
    case .sequence(let nodes):
      var total = 0
      for node in nodes {
        guard let length = node.fixedLength else { return nil }
        total += length
      }
      return total <= 1_000 ? total : nil
    case .alternatives(let nodes):
      guard let first = nodes.first?.fixedLength, nodes.allSatisfy({ $0.fixedLength == first }) else { return nil }
      return first
    case .repetition(let node, let min, let max, _):
      guard let length = node.fixedLength, max == min else { return nil }
      return min == 0 || length <= 1_000 / min ? length * min : nil
    case .atomic(let node), .capture(let node, _): return node.fixedLength
    }
  }
}

/// A condition on a position.
enum RegexAssertion: Sendable {
  case lineStart, lineEnd, textStart, textEnd, textEndOrNewline, wordBoundary, notWordBoundary
}

/// How much a repetition takes first, and whether it gives back.
enum RegexGreed: Sendable {
  case greedy, lazy, possessive
}
