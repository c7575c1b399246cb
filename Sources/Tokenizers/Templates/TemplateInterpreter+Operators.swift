import Tensors

// What operators and subscripts do with values.

extension TemplateInterpreter {
  /// What a loop over the value goes through: elements, keys or characters.
  mutating func elements(of value: TemplateValue) throws -> [TemplateValue] {
    switch value {
    case .list(let elements): return elements
    case .map(let map): return map.keys.map { .text($0) }
    case .text(let bytes):
      try charge(bytes.count * 16)
      return scalars(bytes).map { .text(Array(String(Character($0)).utf8)) }
    case .undefined: return []
    default: throw BessemerError(.template, "\(value.kind) has no elements to go through")
    }
  }

  /// `value.name`: a method, else a member.
  func attribute(_ value: TemplateValue, _ name: String) throws -> TemplateValue {
    switch value {
    case .undefined: throw BessemerError(.template, "\(quoted(name)) of something undefined is asked for")
    case .map(let map):
      if ["items", "keys", "values", "get"].contains(name) { return .method(value, name) }
      return map[Array(name.utf8)] ?? .undefined
    case .namespace(let space): return space.values[name] ?? .undefined
    case .text: return TemplateInterpreter.textMethods.contains(name) ? .method(value, name) : .undefined
    case .list: return ["index", "count"].contains(name) ? .method(value, name) : .undefined
    case .macro(let macro): return name == "name" ? .text(macro.name) : .undefined
    default: return .undefined
    }
  }

  /// `value[key]`
  func item(_ value: TemplateValue, _ key: TemplateValue) throws -> TemplateValue {
    switch (value, key) {
    case (.undefined, _): throw BessemerError(.template, "an element of something undefined is asked for")
    case (.map(let map), .text(let name)):
      if let found = map[name] { return found }
      return try attribute(value, String(decoding: name, as: UTF8.self))
    case (_, .text(let name)): return try attribute(value, String(decoding: name, as: UTF8.self))
    case (.list(let elements), _):
      guard let index = key.integer else { return .undefined }
      let place = index < 0 ? index + elements.count : index
      return elements.indices.contains(place) ? elements[place] : .undefined
    case (.text(let bytes), _):
      guard let index = key.integer else { return .undefined }
      let characters = scalars(bytes)
      let place = index < 0 ? index + characters.count : index
      return characters.indices.contains(place) ? .text(Array(String(Character(characters[place])).utf8)) : .undefined
    default: return .undefined
    }
  }

  /// `value[from:to:step]`
  mutating func slice(_ value: TemplateValue, _ bounds: [TemplateValue?]) throws -> TemplateValue {
    var parts: [Int?] = []
    for bound in bounds {
      switch bound {
      case nil, TemplateValue.none?: parts.append(nil)
      case let bound?:
        guard let number = bound.integer else {
          throw BessemerError(.template, "a slice goes from or to \(bound.kind)")
        }
        parts.append(number)
      }
    }
    let step = parts.count > 2 ? parts[2] ?? 1 : 1
    guard step != 0, step != .min else { throw BessemerError(.template, "a slice has a step of 0") }
    switch value {
    case .list(let elements):
      try charge(elements.count)
      return .list(indices(elements.count, parts[0], parts[1], step).map { elements[$0] })
    case .text(let bytes):
      try charge(bytes.count)
      let characters = scalars(bytes)
      var text = String.UnicodeScalarView()
      for index in indices(characters.count, parts[0], parts[1], step) { text.append(characters[index]) }
      return .text(Array(String(text).utf8))
    default: throw BessemerError(.template, "\(value.kind) is sliced")
    }
  }

  /// The places that a slice takes, as Python counts.
  private func indices(_ count: Int, _ start: Int?, _ end: Int?, _ step: Int) -> StrideTo<Int> {
    func place(_ bound: Int, _ lowest: Int, _ highest: Int) -> Int {
      let absolute = bound < 0 ? max(bound, -count - 1) + count : bound
      return min(max(absolute, lowest), highest)
    }
    if step > 0 {
      return stride(from: place(start ?? 0, 0, count), to: place(end ?? count, 0, count), by: step)
    }
    return stride(
      from: start.map { place($0, -1, count - 1) } ?? count - 1, to: end.map { place($0, -1, count - 1) } ?? -1,
      by: step)
  }

  func negated(_ value: TemplateValue) throws -> TemplateValue {
    if let number = value.integer {
      guard number != .min else { throw overflow }
      return .int(-number)
    }
    if let number = value.number { return .double(-number) }
    throw BessemerError(.template, "\(value.kind) is negated")
  }

  mutating func combined(_ a: TemplateValue, _ operation: String, _ b: TemplateValue) throws -> TemplateValue {
    switch (operation, a, b) {
    case ("~", _, _):
      let text = a.printed + b.printed
      try charge(text.count)
      return .text(text)
    case ("+", .text(let left), .text(let right)):
      try charge(left.count + right.count)
      return .text(left + right)
    case ("+", .list(let left), .list(let right)):
      try charge(left.count + right.count)
      return .list(left + right)
    case ("*", .text(let text), _) where b.integer != nil:
      let (size, isTooLarge) = text.count.multipliedReportingOverflow(by: max(b.integer ?? 0, 0))
      try charge(isTooLarge ? .max / 2 : size)
      return .text(Array(repeatElement(text, count: max(b.integer ?? 0, 0)).joined()))
    case ("%", .text, _):
      throw BessemerError(.unsupportedFeature, "chat templates that format text with % are not supported")
    default: break
    }
    if let left = a.integer, let right = b.integer, operation != "/" { return try whole(left, operation, right) }
    guard let left = a.number, let right = b.number else {
      throw BessemerError(.template, "\(a.kind) \(operation) \(b.kind) cannot be computed")
    }
    switch operation {
    case "+": return .double(left + right)
    case "-": return .double(left - right)
    case "*": return .double(left * right)
    case "/", "//", "%":
      guard right != 0 else { throw BessemerError(.template, "a number is divided by zero") }
      if operation == "/" { return .double(left / right) }
      let quotient = (left / right).rounded(.down)
      return .double(operation == "//" ? quotient : left - quotient * right)
    default: throw BessemerError(.unsupportedFeature, "chat templates with powers of fractions are not supported")
    }
  }

  private func whole(_ a: Int, _ operation: String, _ b: Int) throws -> TemplateValue {
    var (result, isTooLarge) = (0, false)
    switch operation {
    case "+": (result, isTooLarge) = a.addingReportingOverflow(b)
    case "-": (result, isTooLarge) = a.subtractingReportingOverflow(b)
    case "*": (result, isTooLarge) = a.multipliedReportingOverflow(by: b)
    case "//", "%":
      guard b != 0 else { throw BessemerError(.template, "a number is divided by zero") }
      let (quotient, overflows) = a.dividedReportingOverflow(by: b)
      guard !overflows else { throw overflow }
      // Rounded down, so that the remainder has the divisor's sign.
      let isUneven = a % b != 0 && (a % b < 0) != (b < 0)
      result = operation == "//" ? quotient - (isUneven ? 1 : 0) : a % b + (isUneven ? b : 0)
    default:
      guard b >= 0, b < 64 else { throw overflow }
      result = 1
      for _ in 0..<b where !isTooLarge { (result, isTooLarge) = result.multipliedReportingOverflow(by: a) }
    }
    guard !isTooLarge else { throw overflow }
    return .int(result)
  }

  private var overflow: BessemerError { BessemerError(.template, "a whole number does not fit 64 bits") }

  func holds(_ a: TemplateValue, _ operation: String, _ b: TemplateValue) throws -> Bool {
    func compares(_ a: TemplateValue, _ b: TemplateValue) throws -> Bool {
      guard let result = TemplateValue.isLess(a, b) else {
        throw BessemerError(.template, "\(a.kind) and \(b.kind) do not compare")
      }
      return result
    }
    switch operation {
    case "==": return TemplateValue.isEqual(a, b)
    case "!=": return !TemplateValue.isEqual(a, b)
    case "<": return try compares(a, b)
    case ">": return try compares(b, a)
    case "<=": return try compares(a, b) || TemplateValue.isEqual(a, b)
    case ">=": return try compares(b, a) || TemplateValue.isEqual(a, b)
    default: return try contains(b, a) == (operation == "in")
    }
  }

  private func contains(_ container: TemplateValue, _ value: TemplateValue) throws -> Bool {
    switch (container, value) {
    case (.text(let text), .text(let part)): return text.firstRange(of: part, from: 0) != nil
    case (.list(let elements), _): return elements.contains { TemplateValue.isEqual($0, value) }
    case (.map(let map), .text(let key)): return map[key] != nil
    case (.map, _), (.undefined, _): return false
    default: throw BessemerError(.template, "\(value.kind) is looked for in \(container.kind)")
    }
  }
}

/// The characters of UTF-8 text.
func scalars(_ bytes: [UInt8]) -> [Unicode.Scalar] { Array(String(decoding: bytes, as: UTF8.self).unicodeScalars) }

extension [UInt8] {
  /// Where `part` stands first from `start` on; an empty part stands at once.
  func firstRange(of part: [UInt8], from start: Int) -> Range<Int>? {
    guard let first = part.first else { return start <= count ? start..<start : nil }
    var place = start
    while place + part.count <= count {
      guard let next = self[place...(count - part.count)].firstIndex(of: first) else { return nil }
      if self[next..<next + part.count].elementsEqual(part) { return next..<next + part.count }
      place = next + 1
    }
    return nil
  }
}
