import Tensors

/// Parses what stands inside a tag.
struct TemplateExpressionParser {
  private typealias Token = TemplateLexer.Token

  private let tokens: [TemplateLexer.Token]
  private var index = 0
  private var depth = 0

  /// Expressions inside one another.
  private static let maximumDepth = 64

  init(_ tokens: [TemplateLexer.Token]) { self.tokens = tokens }

  // MARK: Tokens

  var isAtEnd: Bool { index == tokens.count }

  func isNext(_ symbol: String) -> Bool { !isAtEnd && tokens[index] == .symbol(symbol) }

  mutating func take(_ symbol: String) -> Bool {
    guard isNext(symbol) else { return false }
    index += 1
    return true
  }

  mutating func takeName(_ name: String) -> Bool {
    guard !isAtEnd, tokens[index] == .name(name) else { return false }
    index += 1
    return true
  }

  mutating func expect(_ symbol: String) throws {
    guard take(symbol) else { throw unexpected(symbol) }
  }

  mutating func expectName(_ name: String) throws {
    guard takeName(name) else { throw unexpected(name) }
  }

  mutating func name() throws -> String {
    guard !isAtEnd, case .name(let name) = tokens[index] else { throw unexpected("a name") }
    index += 1
    return name
  }

  func finish() throws {
    guard isAtEnd else { throw unexpected("the end of the tag") }
  }

  private func unexpected(_ expected: String) -> BessemerError {
    let found: String
    switch isAtEnd ? nil : tokens[index] {
    case nil: found = "the end of the tag"
    case .name(let text), .symbol(let text): found = quoted(text)
    case .int, .double: found = "a number"
    case .string: found = "a string"
    }
    return BessemerError(.template, "found \(found), expected \(expected)")
  }

  // MARK: Parts of statements

  /// An expression that fills the tag.
  mutating func whole() throws -> TemplateExpression {
    let result = try expression()
    try finish()
    return result
  }

  /// One expression, or several with commas as a list, up to the end of the tag.
  mutating func tupleToEnd() throws -> TemplateExpression {
    var elements = [try expression()]
    var isTuple = false
    while take(",") {
      isTuple = true
      if isAtEnd { break }
      elements.append(try expression())
    }
    try finish()
    return isTuple ? .list(elements) : elements[0]
  }

  /// `a`, or `a, b` in parentheses or without.
  mutating func names() throws -> [String] {
    let isEnclosed = take("(")
    var result = [try name()]
    while take(",") { result.append(try name()) }
    if isEnclosed { try expect(")") }
    return result
  }

  mutating func parameters() throws -> [(name: String, initial: TemplateExpression?)] {
    try expect("(")
    var result: [(name: String, initial: TemplateExpression?)] = []
    while !take(")") {
      if !result.isEmpty { try expect(",") }
      let name = try name()
      result.append((name, take("=") ? try expression() : nil))
    }
    return result
  }

  /// `name(…) | name`
  mutating func filters() throws -> [(name: String, arguments: TemplateArguments)] {
    var result: [(String, TemplateArguments)] = []
    repeat { result.append((try name(), isNext("(") ? try arguments() : TemplateArguments())) } while take("|")
    return result
  }

  // MARK: Expressions, loosest first

  /// - Parameter conditional: whether `… if … else …` may follow; not in what a loop goes through.
  mutating func expression(conditional: Bool = true) throws -> TemplateExpression {
    depth += 1
    defer { depth -= 1 }
    guard depth <= TemplateExpressionParser.maximumDepth else {
      throw BessemerError(.template, "more than \(TemplateExpressionParser.maximumDepth) expressions are nested")
    }
    var result = try either()
    while conditional, takeName("if") {
      let condition = try either()
      let otherwise = takeName("else") ? try expression() : nil
      result = .condition(condition, then: result, else: otherwise)
    }
    return result
  }

  private mutating func either() throws -> TemplateExpression {
    var result = try both()
    while takeName("or") { result = .either(result, try both()) }
    return result
  }

  private mutating func both() throws -> TemplateExpression {
    var result = try negation()
    while takeName("and") { result = .both(result, try negation()) }
    return result
  }

  private mutating func negation() throws -> TemplateExpression {
    var count = 0
    while takeName("not") { count += 1 }
    var result = try comparison()
    if count > 0 { result = .not(result) }
    if count > 0, count % 2 == 0 { result = .not(result) }
    return result
  }

  private mutating func comparison() throws -> TemplateExpression {
    let left = try sum()
    var rest: [(operation: String, right: TemplateExpression)] = []
    while !isAtEnd {
      if case .symbol(let symbol) = tokens[index], ["==", "!=", "<", "<=", ">", ">="].contains(symbol) {
        index += 1
        rest.append((symbol, try sum()))
      } else if takeName("in") {
        rest.append(("in", try sum()))
      } else if index + 1 < tokens.count, tokens[index] == .name("not"), tokens[index + 1] == .name("in") {
        index += 2
        rest.append(("not in", try sum()))
      } else {
        break
      }
    }
    return rest.isEmpty ? left : .comparison(left, rest)
  }

  private mutating func sum() throws -> TemplateExpression {
    try chain(["+", "-"]) { parser in try parser.chain(["~"]) { try $0.product() } }
  }

  private mutating func product() throws -> TemplateExpression {
    try chain(["*", "/", "//", "%"]) { parser in try parser.chain(["**"]) { try $0.signed(takesFilters: true) } }
  }

  /// Operators that go from the left.
  private mutating func chain(
    _ operators: [String], _ operand: (inout TemplateExpressionParser) throws -> TemplateExpression
  ) throws -> TemplateExpression {
    var result = try operand(&self)
    while !isAtEnd, case .symbol(let symbol) = tokens[index], operators.contains(symbol) {
      index += 1
      result = .binary(result, symbol, try operand(&self))
    }
    return result
  }

  private mutating func signed(takesFilters: Bool) throws -> TemplateExpression {
    var negations = 0
    var isSigned = false
    while !isAtEnd, tokens[index] == .symbol("-") || tokens[index] == .symbol("+") {
      if tokens[index] == .symbol("-") { negations += 1 }
      isSigned = true
      index += 1
    }
    var result = try suffixed(primary())
    if isSigned {
      for _ in 0..<min(negations, 2 + negations % 2) { result = .negative(result) }
    }
    return takesFilters ? try filtered(result) : result
  }

  private mutating func primary() throws -> TemplateExpression {
    guard !isAtEnd else { throw unexpected("an expression") }
    let token = tokens[index]
    index += 1
    switch token {
    case .int(let value): return .literal(.int(value))
    case .double(let value): return .literal(.double(value))
    case .string(var text):
      while !isAtEnd, case .string(let more) = tokens[index] {
        text += more
        index += 1
      }
      return .literal(.text(text))
    case .name("true"), .name("True"): return .literal(.bool(true))
    case .name("false"), .name("False"): return .literal(.bool(false))
    case .name("none"), .name("None"): return .literal(.none)
    case .name(let name): return .name(name)
    case .symbol("("):
      if take(")") { return .list([]) }
      let first = try expression()
      guard isNext(",") else {
        try expect(")")
        return first
      }
      var elements = [first]
      while take(","), !isNext(")") { elements.append(try expression()) }
      try expect(")")
      return .list(elements)
    case .symbol("["):
      var elements: [TemplateExpression] = []
      while !take("]") {
        if !elements.isEmpty { try expect(",") }
        if take("]") { break }
        elements.append(try expression())
      }
      return .list(elements)
    case .symbol("{"):
      var members: [(key: TemplateExpression, value: TemplateExpression)] = []
      while !take("}") {
        if !members.isEmpty { try expect(",") }
        if take("}") { break }
        let key = try expression()
        try expect(":")
        members.append((key, try expression()))
      }
      return .map(members)
    case .symbol:
      index -= 1
      throw unexpected("an expression")
    }
  }

  /// What follows an expression directly: members, subscripts, calls.
  private mutating func suffixed(_ base: TemplateExpression) throws -> TemplateExpression {
    var result = base
    while true {
      if take(".") {
        if !isAtEnd, case .int(let number) = tokens[index] {
          index += 1
          result = .item(result, .literal(.int(number)))
        } else {
          result = .attribute(result, try name())
        }
      } else if take("[") {
        result = try subscripted(result)
      } else if isNext("(") {
        result = .call(result, try arguments())
      } else {
        return result
      }
    }
  }

  private mutating func subscripted(_ base: TemplateExpression) throws -> TemplateExpression {
    var bounds: [TemplateExpression?] = [nil]
    var isSlice = false
    while !take("]") {
      if take(":") {
        isSlice = true
        bounds.append(nil)
      } else {
        guard bounds[bounds.count - 1] == nil else { throw unexpected("]") }
        bounds[bounds.count - 1] = try expression()
      }
    }
    guard bounds.count <= 3 else { throw BessemerError(.template, "a slice has more than three parts") }
    if isSlice { return .slice(base, bounds) }
    guard let item = bounds[0] else { throw unexpected("an index") }
    return .item(base, item)
  }

  private mutating func filtered(_ base: TemplateExpression) throws -> TemplateExpression {
    var result = base
    while true {
      if take("|") {
        let name = try name()
        result = .filter(result, name, isNext("(") ? try arguments() : TemplateArguments())
      } else if takeName("is") {
        let isNegated = takeName("not")
        let name = try name()
        var arguments = TemplateArguments()
        if isNext("(") {
          arguments = try self.arguments()
        } else if takesOperand {
          arguments.positional = [try suffixed(primary())]
        }
        result = .test(result, name, arguments)
        if isNegated { result = .not(result) }
      } else if isNext("(") {
        result = .call(result, try arguments())
      } else {
        return result
      }
    }
  }

  /// Whether a test's operand follows without parentheses.
  private var takesOperand: Bool {
    guard !isAtEnd else { return false }
    switch tokens[index] {
    case .name(let name): return !["else", "or", "and", "is", "if", "in", "not"].contains(name)
    case .string, .int, .double: return true
    case .symbol(let symbol): return symbol == "[" || symbol == "{"
    }
  }

  private mutating func arguments() throws -> TemplateArguments {
    try expect("(")
    var result = TemplateArguments()
    var isFirst = true
    while !take(")") {
      if !isFirst { try expect(",") }
      isFirst = false
      if take(")") { break }
      if index + 1 < tokens.count, case .name(let name) = tokens[index], tokens[index + 1] == .symbol("=") {
        index += 2
        result.named.append((name, try expression()))
      } else {
        guard result.named.isEmpty else { throw unexpected("a named argument") }
        result.positional.append(try expression())
      }
    }
    return result
  }
}
