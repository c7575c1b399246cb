internal import Tensors

/// A compiled pattern that backtracks like Oniguruma, with a bound on its work.
///
/// Matching works on valid UTF-8, leftmost first, alternatives in order. Groups capture only where that is asked for.
struct Regex: Sendable {
  /// The steps that one encoding may take in all its patterns together: a base and as much again per byte.
  struct Budget {
    private var steps: Int

    init(byteCount: Int) { self.init(steps: 10_000_000 + 500 * min(byteCount, 1 << 32)) }

    init(steps: Int) { self.steps = steps }

    @inline(__always)
    mutating func spend(_ count: Int = 1) throws(BessemerError) {
      steps -= count
      if steps < 0 { throw BessemerError(.limit, "a pattern takes too many steps on this text") }
    }
  }

  private let instructions: [RegexInstruction]
  private let sets: [ScalarSet]
  /// The set that every match starts with, if that is known.
  private let firstSet: Int?

  /// The names of capturing groups, nil for one without; empty when none captures.
  let groups: [String?]

  init(_ pattern: String, captures: Bool = false) throws(BessemerError) {
    var compiler = RegexCompiler()
    let (node, groups) = try RegexParser.parse(pattern, captures: captures)
    self.groups = groups
    try compiler.compile(node)
    try compiler.finish()
    instructions = compiler.instructions
    sets = compiler.sets
    if case .set(let index) = compiler.instructions[0] {
      firstSet = index
    } else if case .repeatSet(let index, let min, _, _) = compiler.instructions[0], min > 0 {
      firstSet = index
    } else {
      firstSet = nil
    }
  }

  /// The next match that starts at `start` or later.
  func search(_ text: Span<UInt8>, from start: Int, budget: inout Budget) throws(BessemerError) -> Range<Int>? {
    let tables = UnicodeTables.shared
    var state = State(groups.count)
    return try search(text, from: start, tables, &state, &budget)
  }

  /// What each group captured in the first match; nil without a match.
  func captures(_ text: Span<UInt8>, budget: inout Budget) throws(BessemerError) -> [Range<Int>?]? {
    var state = State(groups.count)
    guard try search(text, from: 0, UnicodeTables.shared, &state, &budget) != nil else { return nil }
    return groups.indices.map { index in
      let (start, end) = (state.slots[2 * index], state.slots[2 * index + 1])
      return start >= 0 && end >= start ? start..<end : nil
    }
  }

  private func search(
    _ text: Span<UInt8>, from start: Int, _ tables: UnicodeTables, _ state: inout State, _ budget: inout Budget
  ) throws(BessemerError) -> Range<Int>? {
    var position = start
    while position <= text.count {
      if let firstSet {
        while position < text.count {
          let (scalar, length) = UTF8Text.scalar(text, position)
          if sets[firstSet].contains(scalar, tables) { break }
          position += length
        }
        if position == text.count { return nil }
      }
      if let end = try run(text, 0, position, tables, &state, &budget) { return position..<end }
      guard position < text.count else { return nil }
      position += UTF8Text.scalar(text, position).length
    }
    return nil
  }

  /// All matches from left to right, as the library iterates them: an empty match right after a match is passed over.
  func forEachMatch(
    _ text: Span<UInt8>, budget: inout Budget, _ body: (Range<Int>) -> Void
  ) throws(BessemerError) {
    let tables = UnicodeTables.shared
    var state = State(groups.count)
    var position = 0
    var lastEnd: Int?
    while position <= text.count {
      guard let match = try search(text, from: position, tables, &state, &budget) else { return }
      if match.isEmpty && match.lowerBound == lastEnd {
        position += position < text.count ? UTF8Text.scalar(text, position).length : 1
        continue
      }
      position = match.upperBound
      lastEnd = match.upperBound
      body(match)
    }
  }

  /// The most places to come back to that one match may leave open.
  private static let choiceLimit = 1 << 20

  /// A place to continue from when a path fails.
  private struct Choice {
    var instruction: Int
    var position: Int
    /// For a set that was repeated: the least position it can be shortened to, else -1.
    var lowest = -1
    /// For a lazy repetition of a set: the set, and how often it may still match.
    var growing = -1
    var remaining = 0
    /// How many changes of captures stay when the path from here is taken.
    var changeCount = 0
  }

  /// Places to come back to, and what groups captured so far: two positions each, and what they were before.
  private struct State {
    private(set) var choices: [Choice] = []
    private(set) var slots: [Int]
    private var changes: [(slot: Int, value: Int)] = []

    init(_ groupCount: Int) { slots = Array(repeating: -1, count: 2 * groupCount) }

    mutating func push(_ choice: Choice) {
      choices.append(choice)
      if !slots.isEmpty { choices[choices.count - 1].changeCount = changes.count }
    }

    /// The last choice; captures are what they were when it was made.
    mutating func pop() -> Choice? {
      guard let choice = choices.popLast() else { return nil }
      while changes.count > choice.changeCount { slots[changes[changes.count - 1].slot] = changes.removeLast().value }
      return choice
    }

    mutating func cut(to count: Int) { choices.removeLast(choices.count - count) }

    mutating func save(_ slot: Int, _ position: Int) {
      changes.append((slot, slots[slot]))
      slots[slot] = position
    }
  }

  /// Runs from an instruction until `match`; returns where that ends. The pattern's nesting bounds the recursion.
  private func run(
    _ text: Span<UInt8>, _ entry: Int, _ start: Int, _ tables: UnicodeTables, _ state: inout State,
    _ budget: inout Budget
  ) throws(BessemerError) -> Int? {
    let base = state.choices.count
    defer { state.cut(to: base) }
    var pc = entry
    var position = start
    while true {
      try budget.spend()
      guard state.choices.count < Self.choiceLimit else {
        throw BessemerError(.limit, "a pattern has too many open choices on this text")
      }
      var failed = false
      switch instructions[pc] {
      case .match: return position
      case .set(let index):
        if position < text.count {
          let (scalar, length) = UTF8Text.scalar(text, position)
          failed = !sets[index].contains(scalar, tables)
          position += length
        } else {
          failed = true
        }
        pc += 1
      case .repeatSet(let index, let min, let max, let greed):
        let first = position
        var count = 0
        var lowest = min == 0 ? position : -1
        let wanted = greed == .lazy ? min : max
        while count < wanted, position < text.count {
          let (scalar, length) = UTF8Text.scalar(text, position)
          guard sets[index].contains(scalar, tables) else { break }
          position += length
          count += 1
          if count == min { lowest = position }
        }
        try budget.spend((position - first) >> 2)
        pc += 1
        if lowest < 0 {
          failed = true
        } else if greed == .greedy && position > lowest {
          state.push(Choice(instruction: pc, position: position, lowest: lowest))
        } else if greed == .lazy && max > min {
          state.push(Choice(instruction: pc, position: position, growing: index, remaining: max - min))
        }
      case .jump(let target): pc = target
      case .save(let slot):
        state.save(slot, position)
        pc += 1
      case .fork(let preferred, let other):
        state.push(Choice(instruction: other, position: position))
        pc = preferred
      case .assertion(let assertion):
        failed = !holds(assertion, text, position, tables)
        pc += 1
      case .atomic(let end):
        if let stop = try run(text, pc + 1, position, tables, &state, &budget) {
          position = stop
        } else {
          failed = true
        }
        pc = end
      case .lookAhead(let negative, let end):
        let found = try run(text, pc + 1, position, tables, &state, &budget) != nil
        failed = found == negative
        pc = end
      case .lookBehind(let negative, let length, let end):
        var found = false
        if let from = back(text, position, length) {
          found = try run(text, pc + 1, from, tables, &state, &budget) != nil
        }
        failed = found == negative
        pc = end
      }
      if failed {
        guard let next = retry(&state, above: base, text, tables) else { return nil }
        (pc, position) = next
      }
    }
  }

  /// Takes the last choice that is still open.
  private func retry(
    _ state: inout State, above base: Int, _ text: Span<UInt8>, _ tables: UnicodeTables
  ) -> (Int, Int)? {
    while state.choices.count > base, var choice = state.pop() {
      if choice.lowest >= 0 {
        choice.position = UTF8Text.start(text, before: choice.position)
        if choice.position > choice.lowest { state.push(choice) }
      } else if choice.growing >= 0 {
        guard choice.position < text.count else { continue }
        let (scalar, length) = UTF8Text.scalar(text, choice.position)
        guard sets[choice.growing].contains(scalar, tables) else { continue }
        choice.position += length
        choice.remaining -= 1
        if choice.remaining > 0 { state.push(choice) }
      }
      return (choice.instruction, choice.position)
    }
    return nil
  }

  /// The position `count` scalars before `position`.
  private func back(_ text: Span<UInt8>, _ position: Int, _ count: Int) -> Int? {
    var position = position
    for _ in 0..<count {
      guard position > 0 else { return nil }
      position = UTF8Text.start(text, before: position)
    }
    return position
  }

  private func holds(
    _ assertion: RegexAssertion, _ text: Span<UInt8>, _ position: Int, _ tables: UnicodeTables
  ) -> Bool {
    let newline: UInt8 = 10
    switch assertion {
    case .textStart: return position == 0
    case .textEnd: return position == text.count
    case .textEndOrNewline:
      return position == text.count || (position == text.count - 1 && text[position] == newline)
    case .lineStart: return position == 0 || (text[position - 1] == newline && position < text.count)
    case .lineEnd: return position == text.count || text[position] == newline
    case .wordBoundary, .notWordBoundary:
      let after = position < text.count && tables[UTF8Text.scalar(text, position).value].isWord
      let before =
        position > 0 && tables[UTF8Text.scalar(text, UTF8Text.start(text, before: position)).value].isWord
      return (after != before) == (assertion == .wordBoundary)
    }
  }
}
