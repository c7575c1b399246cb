import Tensors

/// A value in a template: what Python would have there. Values never change once made, but for namespaces.
enum TemplateValue {
  case undefined
  case none
  case bool(Bool)
  case int(Int)
  case double(Double)
  /// Text in UTF-8.
  case text([UInt8])
  case list([TemplateValue])
  case map(TemplateMap)
  case namespace(TemplateNamespace)
  case macro(TemplateMacro)
  /// A function of the environment, or a method bound to the value before the dot.
  case function(String)
  indirect case method(TemplateValue, String)

  static func text(_ text: String) -> TemplateValue { .text(Array(text.utf8)) }

  init(_ json: JSON) throws {
    switch json.kind {
    case .null: self = .none
    case .bool: self = .bool(json.bool == true)
    case .integer:
      guard let value = json.int else { throw json.mismatch("an integer of 64 bits") }
      self = .int(value)
    case .float: self = .double(try json.asDouble())
    case .string: self = .text(json.string ?? "")
    case .array: self = .list(try json.elements.map { try TemplateValue($0) })
    case .object:
      var map = TemplateMap()
      for (key, value) in json.members { map[Array(key.utf8)] = try TemplateValue(value) }
      self = .map(map)
    }
  }

  var isTrue: Bool {
    switch self {
    case .undefined, .none: false
    case .bool(let value): value
    case .int(let value): value != 0
    case .double(let value): value != 0
    case .text(let bytes): !bytes.isEmpty
    case .list(let elements): !elements.isEmpty
    case .map(let map): !map.keys.isEmpty
    case .namespace, .macro, .function, .method: true
    }
  }

  /// What error messages call it.
  var kind: String {
    switch self {
    case .undefined: "undefined"
    case .none: "none"
    case .bool: "a truth value"
    case .int, .double: "a number"
    case .text: "text"
    case .list: "a list"
    case .map: "a mapping"
    case .namespace: "a namespace"
    case .macro, .function, .method: "a function"
    }
  }

  /// The number, truth values counting as 0 and 1.
  var number: Double? {
    switch self {
    case .bool(let value): value ? 1 : 0
    case .int(let value): Double(value)
    case .double(let value): value
    default: nil
    }
  }

  var integer: Int? {
    switch self {
    case .bool(let value): value ? 1 : 0
    case .int(let value): value
    default: nil
    }
  }

  static func isEqual(_ a: TemplateValue, _ b: TemplateValue) -> Bool {
    if let left = a.integer, let right = b.integer { return left == right }
    if let left = a.number, let right = b.number { return left == right }
    switch (a, b) {
    case (.undefined, .undefined), (.none, .none): return true
    case (.text(let left), .text(let right)): return left == right
    case (.list(let left), .list(let right)): return left.elementsEqual(right, by: isEqual)
    case (.map(let left), .map(let right)):
      return left.keys.count == right.keys.count
        && left.keys.allSatisfy { key in right[key].map { isEqual($0, left[key] ?? .undefined) } ?? false }
    default: return false
    }
  }

  /// Which comes first; nil when the two do not compare.
  static func isLess(_ a: TemplateValue, _ b: TemplateValue) -> Bool? {
    if let left = a.integer, let right = b.integer { return left < right }
    if let left = a.number, let right = b.number { return left < right }
    switch (a, b) {
    case (.text(let left), .text(let right)): return left.lexicographicallyPrecedes(right)
    case (.list(let left), .list(let right)):
      for (x, y) in zip(left, right) where !isEqual(x, y) { return isLess(x, y) }
      return left.count < right.count
    default: return nil
    }
  }

  // MARK: As text

  /// What printing it gives, as Python's `str`.
  var printed: [UInt8] {
    switch self {
    case .undefined: []
    case .text(let bytes): bytes
    default: represented
    }
  }

  /// As Python's `repr`.
  private var represented: [UInt8] {
    switch self {
    case .undefined: return Array("Undefined".utf8)
    case .none: return Array("None".utf8)
    case .bool(let value): return Array((value ? "True" : "False").utf8)
    case .int(let value): return Array(String(value).utf8)
    case .double(let value): return Array(TemplateValue.decimal(value).utf8)
    case .text(let bytes):
      let quote = UInt8(ascii: bytes.contains(UInt8(ascii: "'")) && !bytes.contains(UInt8(ascii: "\"")) ? "\"" : "'")
      var result = [quote]
      for byte in bytes {
        switch byte {
        case quote, UInt8(ascii: "\\"): result += [UInt8(ascii: "\\"), byte]
        case 10: result += Array("\\n".utf8)
        case 13: result += Array("\\r".utf8)
        case 9: result += Array("\\t".utf8)
        case 0..<32, 127: result += Array("\\x".utf8) + TemplateValue.hexadecimal(UInt16(byte), digits: 2)
        default: result.append(byte)
        }
      }
      return result + [quote]
    case .list(let elements): return Array("[".utf8) + joined(elements.map(\.represented)) + Array("]".utf8)
    case .map(let map):
      let members = map.keys.map { TemplateValue.text($0).represented + Array(": ".utf8) + map[$0]!.represented }
      return Array("{".utf8) + joined(members) + Array("}".utf8)
    case .namespace: return Array("<Namespace>".utf8)
    case .macro, .function, .method: return Array("<Macro>".utf8)
    }
  }

  private func joined(_ parts: [[UInt8]]) -> [UInt8] { Array(parts.joined(separator: Array(", ".utf8))) }

  /// A number as Python writes it.
  static func decimal(_ value: Double) -> String {
    if value.isNaN { return "nan" }
    if value.isInfinite { return value < 0 ? "-inf" : "inf" }
    let text = "\(value)"
    // Two digits at least in an exponent.
    guard let e = text.lastIndex(of: "e"), text.distance(from: e, to: text.endIndex) == 3 else { return text }
    let digits = text.suffix(1)
    return text.dropLast(1) + "0" + digits
  }

  static func hexadecimal(_ value: UInt16, digits: Int) -> [UInt8] {
    let text = String(value, radix: 16)
    return Array((String(repeating: "0", count: max(digits - text.count, 0)) + text).utf8)
  }
}

/// A mapping that keeps the order in which its keys came.
struct TemplateMap {
  private(set) var keys: [[UInt8]] = []
  private var values: [[UInt8]: TemplateValue] = [:]

  subscript(key: [UInt8]) -> TemplateValue? {
    get { values[key] }
    set { if values.updateValue(newValue!, forKey: key) == nil { keys.append(key) } }
  }
}

/// What `namespace()` makes: names that inner scopes can set.
final class TemplateNamespace {
  var values: [String: TemplateValue] = [:]
}

/// A macro, or the body of a call block, with the scope that it was defined in.
final class TemplateMacro {
  let name: String
  let parameters: [(name: String, initial: TemplateExpression?)]
  let body: [TemplateStatement]
  let scope: TemplateScope

  init(
    name: String, parameters: [(name: String, initial: TemplateExpression?)], body: [TemplateStatement],
    scope: TemplateScope
  ) {
    self.name = name
    self.parameters = parameters
    self.body = body
    self.scope = scope
  }
}

/// The names of one block and, behind them, those around it.
final class TemplateScope {
  private var values: [String: TemplateValue] = [:]
  private let outer: TemplateScope?

  init(_ values: [String: TemplateValue] = [:], in outer: TemplateScope? = nil) {
    self.values = values
    self.outer = outer
  }

  subscript(name: String) -> TemplateValue? {
    get { values[name] ?? outer?[name] }
    set { values[name] = newValue }
  }

  func removeAll() { values = [:] }
}
