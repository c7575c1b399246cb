import Tensors

// What stands behind `|`.

extension TemplateInterpreter {
  mutating func filter(_ value: TemplateValue, _ name: String, _ arguments: Arguments) throws -> TemplateValue {
    try charge(1)
    let string = { String(decoding: value.printed, as: UTF8.self) }
    switch name {
    case "trim":
      var characters: [UInt8]?
      if case .text(let given)? = arguments(0, "chars") { characters = given }
      return .text(stripped(value.printed, of: characters))
    case "upper": return .text(string().uppercased())
    case "lower": return .text(string().lowercased())
    case "capitalize", "title": return .text(capitalized(value.printed, eachWord: name == "title"))
    case "string", "safe": return .text(value.printed)
    case "length", "count":
      if case .text(let text) = value { return .int(scalars(text).count) }
      return .int(try elements(of: value).count)
    case "default", "d":
      let isMissing =
        try arguments(1, "boolean")?.isTrue == true ? !value.isTrue : test(value, "undefined", Arguments())
      return isMissing ? arguments(0, "default_value") ?? .text([]) : value
    case "tojson":
      var json = TemplateJSON(arguments)
      try json.write(value)
      try charge(json.text.count)
      return .text(json.text)
    case "replace":
      guard case .text(let old)? = arguments(0, "old"), case .text(let new)? = arguments(1, "new") else {
        throw BessemerError(.template, "replace takes two texts")
      }
      return .text(try replacing(value.printed, old, new, count: arguments(2, "count")?.integer ?? -1))
    case "items":
      if case .undefined = value { return .list([]) }
      guard case .map = value else { throw BessemerError(.template, "\(value.kind) has no items") }
      return try call("items", on: value, arguments)
    case "dictsort":
      guard case .map(let map) = value else { throw BessemerError(.template, "\(value.kind) has no items") }
      return .list(
        map.keys.sorted { lowercased($0).lexicographicallyPrecedes(lowercased($1)) }
          .map { .list([.text($0), map[$0] ?? .undefined]) })
    case "list": return .list(try elements(of: value))
    case "first": return try elements(of: value).first ?? .undefined
    case "last": return try elements(of: value).last ?? .undefined
    case "reverse":
      if case .text(let text) = value { return .text(String(String.UnicodeScalarView(scalars(text).reversed()))) }
      return .list(try elements(of: value).reversed())
    case "join":
      let separator = arguments(0, "d")?.printed ?? []
      let parts = try elements(of: value).map { try member($0, arguments(1, "attribute")).printed }
      try charge(parts.reduce(0) { $0 + $1.count + separator.count })
      return .text(Array(parts.joined(separator: separator)))
    case "map":
      if let path = arguments.named["attribute"] {
        return .list(
          try elements(of: value).map { element in
            let found = try member(element, path)
            if case .undefined = found { return arguments.named["default"] ?? found }
            return found
          })
      }
      guard case .text(let inner)? = arguments.positional.first else { throw unknown("map without a filter") }
      var rest = arguments
      rest.positional.removeFirst()
      return .list(try elements(of: value).map { try filter($0, String(decoding: inner, as: UTF8.self), rest) })
    case "select", "reject", "selectattr", "rejectattr": return try selected(value, name, arguments)
    case "unique":
      var kept: [TemplateValue] = []
      for element in try elements(of: value) {
        try charge(kept.count)
        if !kept.contains(where: { TemplateValue.isEqual($0, element) }) { kept.append(element) }
      }
      return .list(kept)
    case "sort": return try sorted(value, arguments)
    case "sum":
      var total = arguments(1, "start") ?? .int(0)
      for element in try elements(of: value) {
        total = try combined(total, "+", member(element, arguments(0, "attribute")))
      }
      return total
    case "min", "max":
      var best: TemplateValue?
      for element in try elements(of: value) {
        guard let current = best else {
          best = element
          continue
        }
        if try holds(element, name == "min" ? "<" : ">", current) { best = element }
      }
      return best ?? .undefined
    case "abs": return try holds(value, "<", .int(0)) ? negated(value) : value
    case "int":
      if let number = value.integer { return .int(number) }
      if let number = value.number { return Int(exactly: number.rounded(.towardZero)).map { .int($0) } ?? .int(0) }
      let text = String(decoding: stripped(value.printed), as: UTF8.self)
      return Int(text).map { .int($0) } ?? Double(text).flatMap { Int(exactly: $0.rounded(.towardZero)) }.map {
        .int($0)
      }
        ?? arguments(0, "default") ?? .int(0)
    case "float":
      if let number = value.number { return .double(number) }
      return Double(String(decoding: stripped(value.printed), as: UTF8.self)).map { .double($0) }
        ?? arguments(0, "default") ?? .double(0)
    case "indent": return .text(try indented(value.printed, arguments))
    default: throw unknown("the filter \(quoted(name))")
    }
  }

  private func unknown(_ what: String) -> BessemerError {
    BessemerError(.unsupportedFeature, "chat templates with \(what) are not supported")
  }

  private func lowercased(_ text: [UInt8]) -> [UInt8] { Array(String(decoding: text, as: UTF8.self).lowercased().utf8) }

  /// A member by a path with dots, or the value itself without one.
  private func member(_ value: TemplateValue, _ path: TemplateValue?) throws -> TemplateValue {
    guard case .text(let path)? = path else { return value }
    return try path.split(separator: UInt8(ascii: ".")).reduce(value) { value, part in
      let number = Int(String(decoding: part, as: UTF8.self)).map { TemplateValue.int($0) }
      return try item(value, number ?? .text(Array(part)))
    }
  }

  private mutating func selected(_ value: TemplateValue, _ name: String, _ arguments: Arguments) throws -> TemplateValue
  {
    var rest = arguments.positional[...]
    let path = name.hasSuffix("attr") ? rest.popFirst() : nil
    var test: String?
    if case .text(let given)? = rest.popFirst() { test = String(decoding: given, as: UTF8.self) }
    // Nothing is chosen from what counts as false, none included.
    return .list(
      try (value.isTrue ? elements(of: value) : []).filter { element in
        let member = try member(element, path)
        let operators = ["==": "eq", "!=": "ne", "<": "lt", ">": "gt", "<=": "le", ">=": "ge"]
        let holds =
          try test.map { try self.test(member, operators[$0] ?? $0, Arguments(positional: Array(rest))) }
          ?? member.isTrue
        return holds == name.hasPrefix("select")
      })
  }

  private mutating func sorted(_ value: TemplateValue, _ arguments: Arguments) throws -> TemplateValue {
    let ignoresCase = arguments(1, "case_sensitive")?.isTrue != true
    var keyed: [(key: TemplateValue, value: TemplateValue)] = []
    for element in try elements(of: value) {
      var key = try member(element, arguments(2, "attribute"))
      if ignoresCase, case .text(let text) = key { key = .text(lowercased(text)) }
      keyed.append((key, element))
    }
    let isReversed = arguments(0, "reverse")?.isTrue == true
    // Equal ones stay in order either way.
    let result = try keyed.enumerated().sorted { a, b in
      if TemplateValue.isEqual(a.element.key, b.element.key) { return a.offset < b.offset }
      return try holds(a.element.key, isReversed ? ">" : "<", b.element.key)
    }
    return .list(result.map(\.element.value))
  }

  private mutating func indented(_ text: [UInt8], _ arguments: Arguments) throws -> [UInt8] {
    let width = arguments(0, "width")
    let prefix: [UInt8]
    if case .text(let given)? = width {
      prefix = given
    } else {
      prefix = [UInt8](repeating: 32, count: min(max(width?.integer ?? 4, 0), 1024))
    }
    var lines = text.split(separator: 10, omittingEmptySubsequences: false).map { Array($0) }
    try charge(lines.count * prefix.count + text.count)
    let indentsBlank = arguments(2, "blank")?.isTrue == true
    for k in lines.indices where k > 0 || arguments(1, "first")?.isTrue == true {
      if indentsBlank || !lines[k].isEmpty { lines[k] = prefix + lines[k] }
    }
    return Array(lines.joined(separator: [10]))
  }
}

/// Writes JSON as Python's `json.dumps` does.
struct TemplateJSON {
  private(set) var text: [UInt8] = []
  private let indent: [UInt8]?
  private let escapesUnicode: Bool
  private let sortsKeys: Bool
  private let separators: (item: [UInt8], key: [UInt8])
  private var depth = 0

  /// - Parameter arguments: `ensure_ascii`, `indent`, `separators`, `sort_keys`.
  init(_ arguments: TemplateInterpreter.Arguments) {
    escapesUnicode = arguments(0, "ensure_ascii")?.isTrue == true
    switch arguments(1, "indent") {
    case .text(let given)?: indent = given
    case let width? where width.integer != nil: indent = [UInt8](repeating: 32, count: min(max(width.integer!, 0), 64))
    default: indent = nil
    }
    if case .list(let parts)? = arguments(2, "separators"), parts.count == 2 {
      separators = (parts[0].printed, parts[1].printed)
    } else {
      separators = (Array((indent == nil ? ", " : ",").utf8), Array(": ".utf8))
    }
    sortsKeys = arguments(3, "sort_keys")?.isTrue == true
  }

  mutating func write(_ value: TemplateValue) throws {
    switch value {
    case .none: text += "null".utf8
    case .bool(let value): text += (value ? "true" : "false").utf8
    case .int(let value): text += String(value).utf8
    case .double(let value):
      text +=
        (value.isNaN ? "NaN" : value.isInfinite ? value < 0 ? "-Infinity" : "Infinity" : TemplateValue.decimal(value))
        .utf8
    case .text(let value): write(string: value)
    case .list(let elements): try container("[", "]", elements) { try $0.write($1) }
    case .map(let map):
      let keys = sortsKeys ? map.keys.sorted { $0.lexicographicallyPrecedes($1) } : map.keys
      try container("{", "}", keys) { json, key in
        json.write(string: key)
        json.text += json.separators.key
        try json.write(map[key] ?? .none)
      }
    default: throw BessemerError(.template, "\(value.kind) is not written as JSON")
    }
  }

  private mutating func container<T>(
    _ open: String, _ close: String, _ elements: [T], _ write: (inout TemplateJSON, T) throws -> Void
  ) throws {
    text += open.utf8
    depth += 1
    guard depth <= TemplateInterpreter.maximumDepth else { throw BessemerError(.limit, "a value is nested too deeply") }
    for (k, element) in elements.enumerated() {
      if k > 0 { text += separators.item }
      breakLine()
      try write(&self, element)
    }
    depth -= 1
    if !elements.isEmpty { breakLine() }
    text += close.utf8
  }

  private mutating func breakLine() {
    guard let indent else { return }
    text.append(10)
    for _ in 0..<depth { text += indent }
  }

  private mutating func write(string: [UInt8]) {
    text.append(UInt8(ascii: "\""))
    for scalar in scalars(string) {
      switch scalar.value {
      case 0x22, 0x5C: text += [UInt8(ascii: "\\"), UInt8(scalar.value)]
      case 10: text += "\\n".utf8
      case 13: text += "\\r".utf8
      case 9: text += "\\t".utf8
      case 8: text += "\\b".utf8
      case 12: text += "\\f".utf8
      case 0..<32: escape(scalar)
      case 127... where escapesUnicode: if scalar.value == 127 { text.append(127) } else { escape(scalar) }
      default: text += String(Character(scalar)).utf8
      }
    }
    text.append(UInt8(ascii: "\""))
  }

  private mutating func escape(_ scalar: Unicode.Scalar) {
    for unit in String(Character(scalar)).utf16 { text += "\\u".utf8 + TemplateValue.hexadecimal(unit, digits: 4) }
  }
}
