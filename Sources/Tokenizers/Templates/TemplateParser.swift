import Tensors

/// Turns the pieces of a template into statements.
struct TemplateParser {
  private let pieces: [TemplateLexer.Piece]
  private var index = 0
  private var depth = 0

  /// Blocks inside one another.
  private static let maximumDepth = 64

  /// - Throws: ``ErrorCode/template``; ``ErrorCode/unsupportedFeature`` for a tag that chat templates do not use.
  static func parse(_ text: String) throws -> [TemplateStatement] {
    var parser = TemplateParser(pieces: try TemplateLexer.pieces(of: text))
    let statements = try parser.body(until: [])
    return statements
  }

  private init(pieces: [TemplateLexer.Piece]) { self.pieces = pieces }

  /// Statements up to a block tag of one of these names, which stays to be read; without names, all.
  private mutating func body(until ends: [String]) throws -> [TemplateStatement] {
    depth += 1
    defer { depth -= 1 }
    guard depth <= TemplateParser.maximumDepth else {
      throw BessemerError(.template, "more than \(TemplateParser.maximumDepth) blocks stand inside one another")
    }
    var result: [TemplateStatement] = []
    while index < pieces.count {
      switch pieces[index] {
      case .text(let text): result.append(.text(text))
      case .output(let tokens):
        var parser = TemplateExpressionParser(tokens)
        result.append(.output(try parser.whole()))
      case .block(let tokens):
        var parser = TemplateExpressionParser(tokens)
        let name = try parser.name()
        if ends.contains(name) { return result }
        index += 1
        result.append(try statement(name, &parser))
        continue
      }
      index += 1
    }
    guard ends.isEmpty else { throw BessemerError(.template, "a block lacks its \(ends.last ?? "end")") }
    return result
  }

  /// The tag at which ``body(until:)`` stopped: its name and the rest of it.
  private mutating func end() throws -> (name: String, parser: TemplateExpressionParser) {
    guard index < pieces.count, case .block(let tokens) = pieces[index] else {
      throw BessemerError(.template, "a block does not end")
    }
    index += 1
    var parser = TemplateExpressionParser(tokens)
    return (try parser.name(), parser)
  }

  /// Statements up to the tag `name`, which is read.
  private mutating func body(endedBy name: String) throws -> [TemplateStatement] {
    let statements = try body(until: [name])
    _ = try end()
    return statements
  }

  private mutating func statement(_ name: String, _ parser: inout TemplateExpressionParser) throws -> TemplateStatement
  {
    switch name {
    case "if": return try choice(&parser)
    case "for": return try loop(&parser)
    case "set": return try assignment(&parser)
    case "macro":
      let name = try parser.name()
      let parameters = try parser.parameters()
      try parser.finish()
      return .macro(name: name, parameters: parameters, body: try body(endedBy: "endmacro"))
    case "call":
      let parameters = parser.isNext("(") ? try parser.parameters() : []
      let call = try parser.whole()
      return .call(parameters: parameters, call, body: try body(endedBy: "endcall"))
    case "filter":
      let filters = try parser.filters()
      try parser.finish()
      return .capture(nil, filters, try body(endedBy: "endfilter"))
    case "with":
      var values: [(String, TemplateExpression)] = []
      while !parser.isAtEnd {
        let name = try parser.name()
        try parser.expect("=")
        values.append((name, try parser.expression()))
        if !parser.take(",") { break }
      }
      try parser.finish()
      return .scope(values, try body(endedBy: "endwith"))
    case "generation":
      try parser.finish()
      return .scope([], try body(endedBy: "endgeneration"))
    case "break", "continue":
      try parser.finish()
      return name == "break" ? .leave : .next
    default:
      throw BessemerError(.unsupportedFeature, "chat templates with the tag \(quoted(name)) are not supported")
    }
  }

  private mutating func choice(_ first: inout TemplateExpressionParser) throws -> TemplateStatement {
    var cases: [(TemplateExpression?, [TemplateStatement])] = []
    var condition: TemplateExpression? = try first.whole()
    while true {
      let statements = try body(until: condition == nil ? ["endif"] : ["elif", "else", "endif"])
      cases.append((condition, statements))
      var (name, parser) = try end()
      if name == "endif" { return .choose(cases) }
      condition = name == "elif" ? try parser.whole() : nil
    }
  }

  private mutating func loop(_ parser: inout TemplateExpressionParser) throws -> TemplateStatement {
    let targets = try parser.names()
    try parser.expectName("in")
    let sequence = try parser.expression(conditional: false)
    let filter = parser.takeName("if") ? try parser.expression() : nil
    if parser.takeName("recursive") {
      throw BessemerError(.unsupportedFeature, "chat templates with recursive loops are not supported")
    }
    try parser.finish()
    let statements = try body(until: ["else", "endfor"])
    let (name, _) = try end()
    return .loop(
      targets: targets, sequence: sequence, filter: filter, body: statements,
      otherwise: name == "else" ? try body(endedBy: "endfor") : [])
  }

  private mutating func assignment(_ parser: inout TemplateExpressionParser) throws -> TemplateStatement {
    let names = try parser.names()
    var target = TemplateTarget.names(names)
    if names.count == 1, parser.take(".") { target = .member(names[0], try parser.name()) }
    if parser.take("=") { return .set(target, try parser.tupleToEnd()) }
    let filters = parser.take("|") ? try parser.filters() : []
    try parser.finish()
    return .capture(target, filters, try body(endedBy: "endset"))
  }
}
