internal import Tensors

/// Reads the part of Oniguruma's syntax that tokenizer files use; anything else is an error that names it.
struct RegexParser {
  /// Limits on a pattern.
  enum Limit {
    static let scalars = 10_000
    static let depth = 32
    static let repetitions = 1_000
  }

  private let pattern: String
  let scalars: [UInt32]
  var position = 0
  private var depth = 0
  private var ignoresCase = false
  private var dotMatchesNewline = false
  /// Whether plain and named groups capture, and the names of those that do.
  private let captures: Bool
  private var groups: [String?] = []

  /// Parses a whole pattern; returns it with the names of its capturing groups.
  static func parse(_ pattern: String, captures: Bool) throws(BessemerError) -> (RegexNode, [String?]) {
    var parser = RegexParser(pattern, captures)
    guard parser.scalars.count <= Limit.scalars else {
      throw BessemerError(.limit, "a pattern of \(parser.scalars.count) characters, at most \(Limit.scalars) are read")
    }
    let node = try parser.alternatives()
    guard parser.position == parser.scalars.count else { throw parser.unsupported("an unmatched )") }
    return (node, parser.groups)
  }

  private init(_ pattern: String, _ captures: Bool) {
    self.pattern = pattern
    self.captures = captures
    scalars = pattern.unicodeScalars.map(\.value)
  }

  func unsupported(_ what: String) -> BessemerError {
    BessemerError(.unsupportedFeature, "pattern \(quoted(pattern)) has \(what) at character \(position)")
  }

  func peek(_ offset: Int = 0) -> UInt32? {
    position + offset < scalars.count ? scalars[position + offset] : nil
  }

  mutating func take(_ text: String) -> Bool {
    let wanted = text.unicodeScalars.map(\.value)
    guard scalars[position...].starts(with: wanted) else { return false }
    position += wanted.count
    return true
  }

  mutating func next() throws(BessemerError) -> UInt32 {
    guard let scalar = peek() else { throw unsupported("an unexpected end") }
    position += 1
    return scalar
  }

  mutating func nested<T>(_ body: (inout RegexParser) throws(BessemerError) -> T) throws(BessemerError) -> T {
    depth += 1
    guard depth <= Limit.depth else { throw BessemerError(.limit, "a pattern nested deeper than \(Limit.depth)") }
    let result = try body(&self)
    depth -= 1
    return result
  }

  private mutating func alternatives() throws(BessemerError) -> RegexNode {
    // A switch such as (?i) lasts until the group ends.
    let (savedCase, savedDot) = (ignoresCase, dotMatchesNewline)
    var branches = [try sequence()]
    while take("|") { branches.append(try sequence()) }
    (ignoresCase, dotMatchesNewline) = (savedCase, savedDot)
    return branches.count == 1 ? branches[0] : .alternatives(branches)
  }

  private mutating func sequence() throws(BessemerError) -> RegexNode {
    var nodes: [RegexNode] = []
    var lastLetter: UInt32?
    while let scalar = peek(), scalar != ("|" as Unicode.Scalar).value, scalar != (")" as Unicode.Scalar).value {
      if ignoresCase { try refuseLongFold(&lastLetter, scalar) }
      let atom = try self.atom()
      nodes.append(try quantified(atom))
    }
    return nodes.count == 1 ? nodes[0] : nodes.isEmpty ? .empty : .sequence(nodes)
  }

  /// Ignoring case, Oniguruma also lets one scalar (a ligature, a sharp s) stand for two letters.
  private func refuseLongFold(_ last: inout UInt32?, _ scalar: UInt32) throws(BessemerError) {
    let letter = scalar | 0x20
    let pairs = ["ss", "st", "ff", "fi", "fl"].map { $0.unicodeScalars.map(\.value) }
    if let previous = last, pairs.contains([previous, letter]) { throw unsupported("letters that fold to one") }
    last = letter
  }

  private mutating func atom() throws(BessemerError) -> RegexNode {
    let start = position
    let scalar = try next()
    switch Unicode.Scalar(scalar) {
    case "(": return try nested { parser throws(BessemerError) in try parser.group() }
    case "[":
      return .set(try nested { parser throws(BessemerError) in try parser.bracket() })
    case ".": return .set(ScalarSet(dotMatchesNewline ? [] : [.range(10...10)], isNegated: true))
    case "^": return .assertion(.lineStart)
    case "$": return .assertion(.lineEnd)
    case "\\":
      if let assertion = escapedAssertion() { return .assertion(assertion) }
      let (item, isNegated) = try escape()
      return .set(ScalarSet(try folded(item), isNegated: isNegated))
    case "*", "+", "?":
      position = start
      throw unsupported("a quantifier without anything to repeat")
    default: return .set(ScalarSet(try folded(.range(scalar...scalar))))
    }
  }

  func folded(_ item: ScalarSet.Item) throws(BessemerError) -> [ScalarSet.Item] {
    guard ignoresCase else { return [item] }
    switch item {
    case .range(let range):
      if range.upperBound < 0x80 { return ScalarSet.caseVariants(range) }
      throw unsupported("letters beyond ASCII with case ignored")
    case .space: return [item]
    default: throw unsupported("a property with case ignored")
    }
  }

  private mutating func group() throws(BessemerError) -> RegexNode {
    var make: (RegexNode) -> RegexNode = { $0 }
    if take("?") {
      if take(":") {
      } else if take(">") {
        make = { .atomic($0) }
      } else if take("=") {
        make = { .look($0, ahead: true, negative: false) }
      } else if take("!") {
        make = { .look($0, ahead: true, negative: true) }
      } else if take("<=") {
        make = { .look($0, ahead: false, negative: false) }
      } else if take("<!") {
        make = { .look($0, ahead: false, negative: true) }
      } else if captures, take("<") || take("P<") {
        make = try capture(named: try groupName())
      } else {
        return try flags()
      }
    } else if captures {
      make = try capture(named: nil)
    }
    let node = make(try alternatives())
    guard take(")") else { throw unsupported("an unmatched (") }
    if case .look(let inner, ahead: false, _) = node { try checkLookBehind(inner) }
    return node
  }

  /// Numbers a group in the order of opening parentheses.
  private mutating func capture(named name: String?) throws(BessemerError) -> (RegexNode) -> RegexNode {
    if let name, groups.contains(name) { throw unsupported("two groups of the name \(quoted(name))") }
    let index = groups.count
    groups.append(name)
    return { .capture($0, index) }
  }

  private mutating func groupName() throws(BessemerError) -> String {
    var name = String.UnicodeScalarView()
    while !take(">") {
      guard let scalar = Unicode.Scalar(try next()), scalar.properties.isAlphabetic || scalar == "_" || !name.isEmpty
      else { throw unsupported("a bad name of a group") }
      name.append(scalar)
    }
    guard !name.isEmpty else { throw unsupported("a group without a name") }
    return String(name)
  }

  private func checkLookBehind(_ node: RegexNode) throws(BessemerError) {
    if case .alternatives(let branches) = node {
      for branch in branches where branch.fixedLength == nil { throw unsupported("a lookbehind of variable length") }
    } else if node.fixedLength == nil {
      throw unsupported("a lookbehind of variable length")
    }
  }

  /// `(?i)`, `(?i:…)`, `(?m)`, `(?-i)`; m lets the dot match a newline, as in Ruby.
  private mutating func flags() throws(BessemerError) -> RegexNode {
    let (savedCase, savedDot) = (ignoresCase, dotMatchesNewline)
    var turnsOn = true
    while true {
      if take("-") {
        turnsOn = false
      } else if take("i") {
        ignoresCase = turnsOn
      } else if take("m") {
        dotMatchesNewline = turnsOn
      } else if take(":") {
        let node = try alternatives()
        guard take(")") else { throw unsupported("an unmatched (") }
        (ignoresCase, dotMatchesNewline) = (savedCase, savedDot)
        return node
      } else if take(")") {
        // The rest of the enclosing group is the scope, including its later alternatives.
        return try alternatives(keeping: (ignoresCase, dotMatchesNewline))
      } else {
        throw unsupported("an unknown kind of group")
      }
    }
  }

  private mutating func alternatives(keeping flags: (Bool, Bool)) throws(BessemerError) -> RegexNode {
    let node = try nested { parser throws(BessemerError) in try parser.alternatives() }
    (ignoresCase, dotMatchesNewline) = flags
    return node
  }

  private mutating func quantified(_ atom: RegexNode) throws(BessemerError) -> RegexNode {
    let node = atom
    let isInterval = peek() == ("{" as Unicode.Scalar).value
    guard let (minimum, maximum) = try quantifier() else { return node }
    if case .assertion = atom { throw unsupported("a repeated assertion") }
    if case .look = atom { throw unsupported("a repeated assertion") }
    var greed = RegexGreed.greedy
    if isInterval, minimum == maximum, peek() == ("?" as Unicode.Scalar).value {
      // In Ruby's syntax {n}? is an optional group.
      position += 1
      return try ended(.repetition(.repetition(node, min: minimum, max: maximum, .greedy), min: 0, max: 1, .greedy))
    }
    if take("?") {
      greed = .lazy
    } else if peek() == ("+" as Unicode.Scalar).value {
      position += 1
      // In Ruby's syntax {n,m}+ repeats the whole.
      if isInterval {
        let inner = RegexNode.repetition(node, min: minimum, max: maximum, .greedy)
        if inner.isNullable { throw unsupported("an unbounded repetition of nothing") }
        return try ended(.repetition(inner, min: 1, max: nil, .greedy))
      }
      greed = .possessive
    }
    if maximum == nil, node.isNullable { throw unsupported("an unbounded repetition of nothing") }
    return try ended(.repetition(node, min: minimum, max: maximum, greed))
  }

  private mutating func ended(_ node: RegexNode) throws(BessemerError) -> RegexNode {
    let start = position
    guard try quantifier() == nil else {
      position = start
      throw unsupported("a double quantifier")
    }
    return node
  }

  private mutating func quantifier() throws(BessemerError) -> (Int, Int?)? {
    if take("*") { return (0, nil) }
    if take("+") { return (1, nil) }
    if take("?") { return (0, 1) }
    let start = position
    guard take("{") else { return nil }
    let low = try number()
    let hasComma = take(",")
    let high = hasComma ? try number() : low
    guard take("}"), low != nil || high != nil else {
      // A brace that is no interval stands for itself; the caller reads it as the next atom.
      position = start
      return nil
    }
    if let high, high < low ?? 0 { throw unsupported("an interval that goes backwards") }
    return (low ?? 0, high)
  }

  private mutating func number() throws(BessemerError) -> Int? {
    var value: Int?
    while let scalar = peek(), (0x30...0x39).contains(scalar) {
      let next = (value ?? 0) * 10 + Int(scalar - 0x30)
      guard next <= Limit.repetitions else { throw unsupported("a repetition over \(Limit.repetitions)") }
      value = next
      position += 1
    }
    return value
  }
}
