internal import Tensors

/// One step of a compiled pattern.
enum RegexInstruction: Sendable {
  case match
  case set(Int)
  case repeatSet(Int, min: Int, max: Int, RegexGreed)
  case jump(Int)
  /// Notes the position as the start or the end of a group.
  case save(Int)
  case fork(preferred: Int, other: Int)
  case assertion(RegexAssertion)
  /// Runs what follows up to its `match`, then continues at the end.
  case atomic(end: Int)
  case lookAhead(negative: Bool, end: Int)
  case lookBehind(negative: Bool, length: Int, end: Int)
}

/// Turns a parsed pattern into instructions.
struct RegexCompiler {
  /// The most instructions a pattern may take once its repetitions are written out.
  static let instructionLimit = 20_000

  private(set) var instructions: [RegexInstruction] = []
  private(set) var sets: [ScalarSet] = []
  private var visits = 0

  mutating func finish() throws(BessemerError) { try emit(.match) }

  mutating func compile(_ node: RegexNode) throws(BessemerError) {
    visits += 1
    guard visits <= 4 * Self.instructionLimit else {
      throw BessemerError(.limit, "a pattern with too many repetitions")
    }
    switch node {
    case .empty: break
    case .set(let set): try emit(.set(add(set)))
    case .assertion(let assertion): try emit(.assertion(assertion))
    case .sequence(let nodes):
      for node in nodes { try compile(node) }
    case .alternatives(let nodes): try alternatives(nodes)
    case .repetition(let node, let min, let max, let greed): try repetition(node, min, max, greed)
    case .capture(let node, let index):
      try emit(.save(2 * index))
      try compile(node)
      try emit(.save(2 * index + 1))
    case .atomic(let node):
      try enclosed(node) { .atomic(end: $0) }
    case .look(let node, ahead: true, let negative):
      try enclosed(node) { .lookAhead(negative: negative, end: $0) }
    case .look(.alternatives(let branches), ahead: false, let negative): try lookBehind(branches, negative)
    case .look(let node, ahead: false, let negative): try lookBehind([node], negative)
    }
  }

  private mutating func emit(_ instruction: RegexInstruction) throws(BessemerError) {
    guard instructions.count < Self.instructionLimit else {
      throw BessemerError(.limit, "a pattern takes more than \(Self.instructionLimit) instructions")
    }
    instructions.append(instruction)
  }

  private mutating func add(_ set: ScalarSet) -> Int {
    sets.append(set)
    return sets.count - 1
  }

  private mutating func alternatives(_ nodes: [RegexNode]) throws(BessemerError) {
    var jumps: [Int] = []
    for (index, node) in nodes.enumerated() {
      guard index < nodes.count - 1 else {
        try compile(node)
        break
      }
      let fork = instructions.count
      try emit(.match)
      try compile(node)
      jumps.append(instructions.count)
      try emit(.match)
      instructions[fork] = .fork(preferred: fork + 1, other: instructions.count)
    }
    for jump in jumps { instructions[jump] = .jump(instructions.count) }
  }

  private mutating func repetition(
    _ node: RegexNode, _ min: Int, _ max: Int?, _ greed: RegexGreed
  ) throws(BessemerError) {
    if case .set(let set) = node {
      try emit(.repeatSet(add(set), min: min, max: max ?? Int.max, greed))
      return
    }
    if greed == .possessive {
      try enclosed(.repetition(node, min: min, max: max, .greedy)) { .atomic(end: $0) }
      return
    }
    for _ in 0..<min { try compile(node) }
    guard let max else {
      // again: fork(body, out); body; jump again; out:
      let fork = instructions.count
      try emit(.match)
      try compile(node)
      try emit(.jump(fork))
      setFork(fork, to: instructions.count, greed)
      return
    }
    var forks: [Int] = []
    for _ in min..<max {
      forks.append(instructions.count)
      try emit(.match)
      try compile(node)
    }
    for fork in forks { setFork(fork, to: instructions.count, greed) }
  }

  private mutating func setFork(_ fork: Int, to out: Int, _ greed: RegexGreed) {
    instructions[fork] =
      greed == .lazy ? .fork(preferred: out, other: fork + 1) : .fork(preferred: fork + 1, other: out)
  }

  private mutating func enclosed(
    _ node: RegexNode, _ make: (Int) -> RegexInstruction
  ) throws(BessemerError) {
    let place = instructions.count
    try emit(.match)
    try compile(node)
    try emit(.match)
    instructions[place] = make(instructions.count)
  }

  /// `(?<=a|bc)` tries its branches in turn; `(?<!a|bc)` demands that none holds.
  private mutating func lookBehind(_ branches: [RegexNode], _ negative: Bool) throws(BessemerError) {
    if negative {
      for branch in branches { try behind(branch, negative: true) }
      return
    }
    var jumps: [Int] = []
    for (index, branch) in branches.enumerated() {
      let fork = instructions.count
      if index < branches.count - 1 { try emit(.match) }
      try behind(branch, negative: false)
      if index < branches.count - 1 {
        jumps.append(instructions.count)
        try emit(.match)
        instructions[fork] = .fork(preferred: fork + 1, other: instructions.count)
      }
    }
    for jump in jumps { instructions[jump] = .jump(instructions.count) }
  }

  private mutating func behind(_ branch: RegexNode, negative: Bool) throws(BessemerError) {
    let length = branch.fixedLength ?? 0
    try enclosed(branch) { .lookBehind(negative: negative, length: length, end: $0) }
  }
}
