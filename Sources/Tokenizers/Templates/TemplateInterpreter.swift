import Tensors

/// Runs a parsed template, within bounds on steps, text and depth.
struct TemplateInterpreter {
  /// Statements and expressions that may be run, bytes of text and elements of lists that may be made, and calls inside
  /// one another.
  static let maximumSteps = 4_000_000
  static let maximumVolume = 1 << 28
  static let maximumDepth = 200

  private var steps = 0
  private var volume = 0
  private var depth = 0
  private(set) var output: [UInt8] = []
  /// Scopes that macros were defined in, which hold these in turn.
  private(set) var macroScopes: [TemplateScope] = []
  /// Namespaces with names that were set.
  var changed: [TemplateNamespace] = []
  /// Where a template stands in time, for `strftime_now`.
  let now: TemplateDate?

  /// What a statement says about the loop around it.
  private enum Flow { case on, leave, next }

  init(now: TemplateDate?) { self.now = now }

  mutating func run(_ statements: [TemplateStatement], in scope: TemplateScope) throws {
    defer { release() }
    _ = try execute(statements, scope)
  }

  /// Counts bytes or elements that are made.
  mutating func charge(_ count: Int) throws {
    volume += count
    guard volume <= TemplateInterpreter.maximumVolume else {
      throw BessemerError(
        .limit, "the chat template makes more than \(TemplateInterpreter.maximumVolume) bytes of text")
    }
  }

  private mutating func step() throws {
    steps += 1
    guard steps <= TemplateInterpreter.maximumSteps else {
      throw BessemerError(.limit, "the chat template takes more than \(TemplateInterpreter.maximumSteps) steps")
    }
  }

  private mutating func nested<T>(_ body: (inout TemplateInterpreter) throws -> T) throws -> T {
    depth += 1
    defer { depth -= 1 }
    guard depth <= TemplateInterpreter.maximumDepth else {
      throw BessemerError(.limit, "the chat template nests more than \(TemplateInterpreter.maximumDepth) calls")
    }
    return try body(&self)
  }

  // MARK: Statements

  private mutating func execute(_ statements: [TemplateStatement], _ scope: TemplateScope) throws -> Flow {
    for statement in statements {
      try step()
      let flow = try nested { try $0.execute(statement, scope) }
      if flow != .on { return flow }
    }
    return .on
  }

  private mutating func execute(_ statement: TemplateStatement, _ scope: TemplateScope) throws -> Flow {
    switch statement {
    case .text(let text): try write(text)
    case .output(let expression): try write(evaluate(expression, scope).printed)
    case .choose(let cases):
      for (condition, body) in cases where try condition.map({ try evaluate($0, scope).isTrue }) ?? true {
        return try execute(body, scope)
      }
    case .loop(let targets, let sequence, let filter, let body, let otherwise):
      return try loop(targets, sequence, filter, body, otherwise, scope)
    case .set(let target, let expression): try assign(evaluate(expression, scope), to: target, scope)
    case .capture(let target, let filters, let body):
      var text = TemplateValue.text(try capture { _ = try $0.execute(body, TemplateScope(in: scope)) })
      for filter in filters { text = try self.filter(text, filter.name, evaluate(filter.arguments, scope)) }
      if let target { try assign(text, to: target, scope) } else { try write(text.printed) }
    case .macro(let name, let parameters, let body):
      macroScopes.append(scope)
      scope[name] = .macro(TemplateMacro(name: name, parameters: parameters, body: body, scope: scope))
    case .call(let parameters, let call, let body):
      macroScopes.append(scope)
      let caller = TemplateMacro(name: "caller", parameters: parameters, body: body, scope: scope)
      guard case .call(let callee, let arguments) = call,
        case .macro(let macro) = try evaluate(callee, scope)
      else { throw BessemerError(.template, "a call block does not call a macro") }
      try write(self.call(macro, evaluate(arguments, scope), caller: caller))
    case .scope(let values, let body):
      let inner = TemplateScope(in: scope)
      for (name, expression) in values { inner[name] = try evaluate(expression, scope) }
      return try execute(body, inner)
    case .leave: return .leave
    case .next: return .next
    }
    return .on
  }

  private mutating func write(_ text: [UInt8]) throws {
    try charge(text.count)
    output += text
  }

  /// What `body` writes.
  private mutating func capture(_ body: (inout TemplateInterpreter) throws -> Void) throws -> [UInt8] {
    let outer = output
    output = []
    try body(&self)
    defer { output = outer }
    return output
  }

  private mutating func assign(_ value: TemplateValue, to target: TemplateTarget, _ scope: TemplateScope) throws {
    switch target {
    case .names(let names): try unpack(value, into: names, scope)
    case .member(let name, let key):
      guard case .namespace(let space)? = scope[name] else {
        throw BessemerError(.template, "\(quoted(name)) is no namespace whose \(quoted(key)) could be set")
      }
      try set(space, key, value)
    }
  }

  private func unpack(_ value: TemplateValue, into names: [String], _ scope: TemplateScope) throws {
    if names.count == 1 { return scope[names[0]] = value }
    guard case .list(let elements) = value, elements.count == names.count else {
      throw BessemerError(.template, "\(value.kind) does not have \(names.count) elements to unpack")
    }
    for (name, element) in zip(names, elements) { scope[name] = element }
  }

  private mutating func loop(
    _ targets: [String], _ sequence: TemplateExpression, _ filter: TemplateExpression?, _ body: [TemplateStatement],
    _ otherwise: [TemplateStatement], _ scope: TemplateScope
  ) throws -> Flow {
    var elements = try elements(of: evaluate(sequence, scope))
    if let filter {
      elements = try elements.filter { element in
        let inner = TemplateScope(in: scope)
        try unpack(element, into: targets, inner)
        return try evaluate(filter, inner).isTrue
      }
    }
    guard !elements.isEmpty else { return try execute(otherwise, TemplateScope(in: scope)) }
    for (k, element) in elements.enumerated() {
      try step()
      let inner = TemplateScope(in: scope)
      try unpack(element, into: targets, inner)
      let loop = TemplateNamespace()
      loop.values = [
        "index": .int(k + 1), "index0": .int(k), "revindex": .int(elements.count - k),
        "revindex0": .int(elements.count - k - 1), "first": .bool(k == 0), "last": .bool(k + 1 == elements.count),
        "length": .int(elements.count), "depth": .int(1), "depth0": .int(0),
        "previtem": k > 0 ? elements[k - 1] : .undefined,
        "nextitem": k + 1 < elements.count ? elements[k + 1] : .undefined,
        "cycle": .method(.int(k), "cycle"),
      ]
      inner["loop"] = .namespace(loop)
      if try execute(body, inner) == .leave { break }
    }
    return .on
  }

  // MARK: Expressions

  /// The values of a call's arguments.
  struct Arguments {
    var positional: [TemplateValue] = []
    var named: [String: TemplateValue] = [:]

    /// The argument at a position or of a name.
    func callAsFunction(_ position: Int, _ name: String) -> TemplateValue? {
      position < positional.count ? positional[position] : named[name]
    }
  }

  private mutating func evaluate(_ arguments: TemplateArguments, _ scope: TemplateScope) throws -> Arguments {
    var result = Arguments()
    for argument in arguments.positional { result.positional.append(try evaluate(argument, scope)) }
    for (name, value) in arguments.named { result.named[name] = try evaluate(value, scope) }
    return result
  }

  private mutating func evaluate(_ expression: TemplateExpression, _ scope: TemplateScope) throws -> TemplateValue {
    try step()
    let value = try nested { try $0.value(expression, scope) }
    switch expression {
    case .list, .map, .slice, .call, .filter, .binary: try measure(value)
    default: break
    }
    return value
  }

  private mutating func value(_ expression: TemplateExpression, _ scope: TemplateScope) throws -> TemplateValue {
    switch expression {
    case .literal(let value): return value
    case .name(let name):
      if let value = scope[name] { return value }
      return TemplateInterpreter.functions.contains(name) && (name != "strftime_now" || now != nil)
        ? .function(name) : .undefined
    case .list(let elements): return .list(try elements.map { try evaluate($0, scope) })
    case .map(let members):
      var map = TemplateMap()
      for (key, value) in members {
        guard case .text(let name) = try evaluate(key, scope) else {
          throw BessemerError(.unsupportedFeature, "a chat template has a mapping with keys that are no text")
        }
        map[name] = try evaluate(value, scope)
      }
      return .map(map)
    case .attribute(let base, let name): return try attribute(evaluate(base, scope), name)
    case .item(let base, let key): return try item(evaluate(base, scope), evaluate(key, scope))
    case .slice(let base, let bounds):
      return try slice(evaluate(base, scope), bounds.map { try $0.map { try evaluate($0, scope) } })
    case .call(let callee, let arguments):
      let function = try evaluate(callee, scope)
      let values = try evaluate(arguments, scope)
      switch function {
      case .macro(let macro): return .text(try call(macro, values, caller: nil))
      case .function(let name): return try call(name, values)
      case .method(let base, let name): return try call(name, on: base, values)
      default: throw BessemerError(.template, "\(function.kind) is called\(describe(callee))")
      }
    case .filter(let base, let name, let arguments):
      return try filter(evaluate(base, scope), name, evaluate(arguments, scope))
    case .test(let base, let name, let arguments):
      return .bool(try test(evaluate(base, scope), name, evaluate(arguments, scope)))
    case .not(let operand): return .bool(!(try evaluate(operand, scope).isTrue))
    case .negative(let operand): return try negated(evaluate(operand, scope))
    case .both(let a, let b):
      let left = try evaluate(a, scope)
      return left.isTrue ? try evaluate(b, scope) : left
    case .either(let a, let b):
      let left = try evaluate(a, scope)
      return left.isTrue ? left : try evaluate(b, scope)
    case .binary(let a, let operation, let b):
      return try combined(evaluate(a, scope), operation, evaluate(b, scope))
    case .comparison(let first, let rest):
      var left = try evaluate(first, scope)
      for (operation, expression) in rest {
        let right = try evaluate(expression, scope)
        guard try holds(left, operation, right) else { return .bool(false) }
        left = right
      }
      return .bool(true)
    case .condition(let condition, let then, let otherwise):
      if try evaluate(condition, scope).isTrue { return try evaluate(then, scope) }
      return try otherwise.map { try evaluate($0, scope) } ?? .undefined
    }
  }

  private func describe(_ expression: TemplateExpression) -> String {
    switch expression {
    case .name(let name), .attribute(_, let name): ": \(quoted(name))"
    default: ""
    }
  }

  private mutating func call(_ macro: TemplateMacro, _ arguments: Arguments, caller: TemplateMacro?) throws -> [UInt8] {
    guard arguments.positional.count <= macro.parameters.count,
      arguments.named.keys.allSatisfy({ name in macro.parameters.contains { $0.name == name } })
    else {
      throw BessemerError(.template, "the macro \(quoted(macro.name)) is called with arguments that it does not take")
    }
    let scope = TemplateScope(in: macro.scope)
    for (k, parameter) in macro.parameters.enumerated() {
      scope[parameter.name] =
        try arguments(k, parameter.name) ?? parameter.initial.map { try evaluate($0, scope) } ?? .undefined
    }
    if let caller { scope["caller"] = .macro(caller) }
    return try capture { _ = try $0.execute(macro.body, scope) }
  }
}
