import Tensors

// The functions, methods and tests that templates find.

extension TemplateInterpreter {
  static let functions: Set<String> = ["namespace", "range", "raise_exception", "dict", "strftime_now"]
  /// What a `range` may have at most.
  private static let maximumRange = 100_000

  mutating func call(_ function: String, _ arguments: Arguments) throws -> TemplateValue {
    switch function {
    case "namespace", "dict":
      let space = TemplateNamespace()
      var map = TemplateMap()
      if case .map(let given)? = arguments.positional.first { map = given }
      for name in arguments.named.keys.sorted() { map[Array(name.utf8)] = arguments.named[name]! }
      guard function == "namespace" else { return .map(map) }
      for key in map.keys { space.values[String(decoding: key, as: UTF8.self)] = map[key] }
      return .namespace(space)
    case "range":
      let numbers = arguments.positional.compactMap(\.integer)
      guard numbers.count == arguments.positional.count, (1...3).contains(numbers.count) else {
        throw BessemerError(.template, "range takes one to three whole numbers")
      }
      let (start, end) = numbers.count == 1 ? (0, numbers[0]) : (numbers[0], numbers[1])
      let step = numbers.count == 3 ? numbers[2] : 1
      guard step != 0, [start, end, step].allSatisfy({ abs(Double($0)) < 1e15 }) else {
        throw BessemerError(.template, "range has a step of 0 or ends that are too far away")
      }
      let count = max((end - start + step + (step > 0 ? -1 : 1)) / step, 0)
      guard count <= TemplateInterpreter.maximumRange else {
        throw BessemerError(.limit, "a chat template counts over more than \(TemplateInterpreter.maximumRange) numbers")
      }
      try charge(count)
      return .list((0..<count).map { .int(start + $0 * step) })
    case "strftime_now":
      guard case .text(let format)? = arguments.positional.first, let now else {
        throw BessemerError(.template, "strftime_now takes a format")
      }
      return .text(try now.formatted(String(decoding: format, as: UTF8.self)))
    default:
      let message = arguments.positional.first?.printed ?? []
      throw BessemerError(
        .template, "the template refuses the messages: \(quoted(String(decoding: message, as: UTF8.self)))")
    }
  }

  // MARK: Methods

  static let textMethods: Set<String> = [
    "strip", "lstrip", "rstrip", "split", "rsplit", "splitlines", "startswith", "endswith", "replace", "upper", "lower",
    "title", "capitalize", "find", "rfind", "count", "join", "isdigit", "isalpha", "isspace", "isupper", "islower",
    "removeprefix", "removesuffix",
  ]

  mutating func call(_ method: String, on base: TemplateValue, _ arguments: Arguments) throws -> TemplateValue {
    switch base {
    case .map(let map):
      try charge(map.keys.count)
      switch method {
      case "items": return .list(map.keys.map { .list([.text($0), map[$0] ?? .undefined]) })
      case "keys": return .list(map.keys.map { .text($0) })
      case "values": return .list(map.keys.map { map[$0] ?? .undefined })
      default:
        guard case .text(let key)? = arguments.positional.first else { return arguments(1, "default") ?? .none }
        return map[key] ?? arguments(1, "default") ?? .none
      }
    case .int(let index):
      guard !arguments.positional.isEmpty else { throw BessemerError(.template, "cycle has nothing to choose from") }
      return arguments.positional[index % arguments.positional.count]
    case .list(let elements):
      guard let value = arguments.positional.first else { throw missing(method) }
      if method == "count" { return .int(elements.count { TemplateValue.isEqual($0, value) }) }
      guard let index = elements.firstIndex(where: { TemplateValue.isEqual($0, value) }) else {
        throw BessemerError(.template, "a value is not in the list that it is looked for in")
      }
      return .int(index)
    case .text(let text): return try call(method, onText: text, arguments)
    default: throw BessemerError(.template, "\(base.kind) has no method \(quoted(method))")
    }
  }

  private func missing(_ name: String) -> BessemerError {
    BessemerError(.template, "\(quoted(name)) lacks an argument, or has one that it does not take")
  }

  private mutating func call(_ method: String, onText text: [UInt8], _ arguments: Arguments) throws -> TemplateValue {
    try charge(text.count)
    func textual(_ position: Int, _ name: String) throws -> [UInt8]? {
      switch arguments(position, name) {
      case .text(let value)?: return value
      case nil, TemplateValue.none?: return nil
      default: throw missing(method)
      }
    }
    let string = String(decoding: text, as: UTF8.self)
    switch method {
    case "strip", "lstrip", "rstrip":
      return .text(
        stripped(text, of: try textual(0, "chars"), atStart: method != "rstrip", atEnd: method != "lstrip"))
    case "upper": return .text(string.uppercased())
    case "lower": return .text(string.lowercased())
    case "title", "capitalize": return .text(capitalized(text, eachWord: method == "title"))
    case "startswith", "endswith":
      let affixes: [TemplateValue]
      if case .list(let several)? = arguments.positional.first {
        affixes = several
      } else {
        affixes = Array(arguments.positional.prefix(1))
      }
      guard !affixes.isEmpty else { throw missing(method) }
      return .bool(
        try affixes.contains { affix in
          guard case .text(let affix) = affix else { throw missing(method) }
          return method == "startswith" ? text.starts(with: affix) : text.reversed().starts(with: affix.reversed())
        })
    case "removeprefix", "removesuffix":
      guard let affix = try textual(0, "") else { throw missing(method) }
      if method == "removeprefix" { return .text(text.starts(with: affix) ? Array(text.dropFirst(affix.count)) : text) }
      return .text(text.reversed().starts(with: affix.reversed()) ? Array(text.dropLast(affix.count)) : text)
    case "replace":
      guard let old = try textual(0, "old"), let new = try textual(1, "new") else { throw missing(method) }
      return .text(try replacing(text, old, new, count: arguments(2, "count")?.integer ?? -1))
    case "split", "rsplit":
      let count = arguments(1, "maxsplit")?.integer ?? -1
      let parts = try split(text, by: textual(0, "sep"), count: count < 0 ? .max : count, fromEnd: method == "rsplit")
      return .list(parts.map { .text($0) })
    case "splitlines":
      let lines = string.split(omittingEmptySubsequences: false) { $0 == "\n" || $0 == "\r\n" || $0 == "\r" }
      return .list((lines.last == "" ? lines.dropLast() : lines[...]).map { .text(String($0)) })
    case "find", "rfind", "count":
      guard let part = try textual(0, "sub") else { throw missing(method) }
      var places: [Int] = []
      var start = 0
      while let range = text.firstRange(of: part, from: start) {
        places.append(range.lowerBound)
        start = method == "count" ? max(range.upperBound, range.lowerBound + 1) : range.lowerBound + 1
      }
      if method == "count" { return .int(places.count) }
      guard let place = method == "find" ? places.first : places.last else { return .int(-1) }
      return .int(scalars(Array(text[..<place])).count)
    case "join":
      guard let list = arguments.positional.first else { throw missing(method) }
      let parts = try elements(of: list).map(\.printed)
      try charge(parts.reduce(0) { $0 + $1.count + text.count })
      return .text(Array(parts.joined(separator: text)))
    case "isdigit": return .bool(!text.isEmpty && scalars(text).allSatisfy { $0.properties.numericType != nil })
    case "isalpha": return .bool(!text.isEmpty && scalars(text).allSatisfy { $0.properties.isAlphabetic })
    case "isspace": return .bool(!text.isEmpty && scalars(text).allSatisfy { $0.properties.isWhitespace })
    case "isupper": return .bool(string.uppercased() == string && string.lowercased() != string)
    case "islower": return .bool(string.lowercased() == string && string.uppercased() != string)
    default:
      throw BessemerError(.unsupportedFeature, "chat templates with the method \(quoted(method)) are not supported")
    }
  }

  // MARK: Text

  /// Text without white space, or without any of `characters`, at its ends.
  func stripped(_ text: [UInt8], of characters: [UInt8]? = nil, atStart: Bool = true, atEnd: Bool = true) -> [UInt8] {
    var rest = String(decoding: text, as: UTF8.self).unicodeScalars[...]
    let set = characters.map { Set(scalars($0)) }
    func belongs(_ scalar: Unicode.Scalar) -> Bool {
      // Python also counts the four separators among the controls.
      set?.contains(scalar) ?? (scalar.properties.isWhitespace || (28...31).contains(scalar.value))
    }
    if atStart { rest = rest.drop(while: belongs) }
    while atEnd, let last = rest.last, belongs(last) { rest.removeLast() }
    return Array(String(rest).utf8)
  }

  func capitalized(_ text: [UInt8], eachWord: Bool) -> [UInt8] {
    var result = ""
    var isInside = false
    for scalar in scalars(text) {
      let character = String(Character(scalar))
      result += isInside ? character.lowercased() : character.uppercased()
      isInside = eachWord ? scalar.properties.isCased : true
    }
    return Array(result.utf8)
  }

  mutating func replacing(_ text: [UInt8], _ old: [UInt8], _ new: [UInt8], count: Int) throws -> [UInt8] {
    var result: [UInt8] = []
    var start = 0
    var left = count < 0 ? Int.max : count
    while left > 0, let range = text.firstRange(of: old, from: start) {
      // An empty text stands before each character and at the end.
      let next = old.isEmpty ? text[range.lowerBound...].dropFirst().firstIndex { $0 & 0xC0 != 0x80 } : nil
      result += text[start..<range.lowerBound] + new
      try charge(new.count)
      left -= 1
      start = range.upperBound
      guard old.isEmpty else { continue }
      let end = next ?? text.count
      if range.lowerBound == text.count { break }
      result += text[start..<end]
      start = end
    }
    return result + text[min(start, text.count)...]
  }

  private mutating func split(_ text: [UInt8], by separator: [UInt8]?, count: Int, fromEnd: Bool) throws -> [[UInt8]] {
    guard let separator else {
      let parts = String(decoding: text, as: UTF8.self).unicodeScalars
        .split { $0.properties.isWhitespace || (28...31).contains($0.value) }
      guard count < parts.count - 1 else { return parts.map { Array(String($0).utf8) } }
      guard !fromEnd, count > 0 else {
        throw BessemerError(.unsupportedFeature, "chat templates that split at blanks from the end are not supported")
      }
      let rest = Array(String(decoding: text, as: UTF8.self).unicodeScalars[parts[count].startIndex...].utf8View)
      return parts[..<count].map { Array(String($0).utf8) } + [rest]
    }
    guard !separator.isEmpty else { throw BessemerError(.template, "text is split at an empty text") }
    var ranges: [Range<Int>] = []
    var start = 0
    while let range = text.firstRange(of: separator, from: start) {
      ranges.append(range)
      start = range.upperBound
    }
    ranges = Array(fromEnd ? ranges.suffix(count) : ranges.prefix(count))
    try charge(ranges.count * 16)
    var parts: [[UInt8]] = []
    start = 0
    for range in ranges {
      parts.append(Array(text[start..<range.lowerBound]))
      start = range.upperBound
    }
    return parts + [Array(text[start...])]
  }

  // MARK: Tests

  func test(_ value: TemplateValue, _ name: String, _ arguments: Arguments) throws -> Bool {
    let operand = arguments.positional.first ?? .undefined
    switch name {
    case "defined": if case .undefined = value { return false } else { return true }
    case "undefined": if case .undefined = value { return true } else { return false }
    case "none": if case .none = value { return true } else { return false }
    case "string": if case .text = value { return true } else { return false }
    case "mapping": if case .map = value { return true } else { return false }
    case "boolean": if case .bool = value { return true } else { return false }
    case "integer": if case .int = value { return true } else { return false }
    case "float": if case .double = value { return true } else { return false }
    case "number": return value.number != nil
    case "true": if case .bool(true) = value { return true } else { return false }
    case "false": if case .bool(false) = value { return true } else { return false }
    case "iterable", "sequence":
      switch value {
      case .text, .list, .map, .undefined: return true
      default: return false
      }
    case "callable":
      switch value {
      case .macro, .function, .method: return true
      default: return false
      }
    case "odd", "even":
      guard let number = value.integer else { throw BessemerError(.template, "\(value.kind) is neither odd nor even") }
      return (number % 2 == 0) == (name == "even")
    case "divisibleby":
      guard let number = value.integer, let divisor = operand.integer, divisor != 0, divisor != -1 else {
        throw BessemerError(.template, "\(value.kind) is not divided by \(operand.kind)")
      }
      return number % divisor == 0
    case "eq", "equalto", "sameas": return TemplateValue.isEqual(value, operand)
    case "ne": return !TemplateValue.isEqual(value, operand)
    case "lt", "lessthan": return try holds(value, "<", operand)
    case "gt", "greaterthan": return try holds(value, ">", operand)
    case "le": return try holds(value, "<=", operand)
    case "ge": return try holds(value, ">=", operand)
    case "in": return try holds(value, "in", operand)
    case "lower", "upper":
      let text = String(decoding: value.printed, as: UTF8.self)
      let changed = name == "lower" ? text.uppercased() : text.lowercased()
      return (name == "lower" ? text.lowercased() : text.uppercased()) == text && changed != text
    default: throw BessemerError(.unsupportedFeature, "chat templates with the test \(quoted(name)) are not supported")
    }
  }
}

extension Substring.UnicodeScalarView {
  fileprivate var utf8View: Substring.UTF8View { Substring(self).utf8 }
}
