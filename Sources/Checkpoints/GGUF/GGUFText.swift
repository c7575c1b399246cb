internal import Tensors

/// Metadata values as texts, which all formats keep: nothing is lost on the way from one GGUF file into another.
///
/// A string is itself. Any other value starts with its type: `u32:32`, `f32:1e-05`, `bool:true`, `array:i32:[1,2]`,
/// `array:string:["a","b"]`, with an array in another one as a string. Strings that are no UTF-8 are hexadecimal
/// digits of type `bytes`; a string that could be taken for any of these gets `string:` in front.
package enum GGUFText {
  /// Stands for ``GGUFValueType/string`` where the bytes are no UTF-8.
  private static let bytesWord = "bytes"

  /// Reads a value of a file.
  static func read(_ type: GGUFValueType, from cursor: inout GGUFCursor, depth: Int = 0) throws -> String {
    let text: String
    switch type {
    case .string:
      let bytes = try cursor.bytes("a metadata value")
      if let string = utf8(bytes) {
        text = value(string) == nil ? string : "string:" + string
      } else {
        text = "\(bytesWord):\(hexadecimal(bytes))"
      }
    case .array: text = try array(from: &cursor, depth: depth)
    default: text = "\(type.word):\(try scalar(type, from: &cursor))"
    }
    if type != .array { try cursor.spend(text.utf8.count) }
    return text
  }

  private static func array(from cursor: inout GGUFCursor, depth: Int) throws -> String {
    guard depth < GGUF.maximumArrayDepth else {
      throw BessemerError(.limit, "arrays inside each other are read to a depth of \(GGUF.maximumArrayDepth)")
    }
    let type = try valueType(from: &cursor)
    let count = try cursor.count(of: "elements", least: type.leastByteCount)
    guard type == .string || type == .array else {
      var text = "array:\(type.word):["
      for index in 0..<count {
        if index & 0xFFFF == 0 { try Interrupt.check() }
        let element = try scalar(type, from: &cursor)
        try cursor.spend(element.utf8.count + 1)
        text += index == 0 ? element : "," + element
      }
      return text + "]"
    }
    var elements: [String] = []
    var isText = true
    var raw: [Bytes] = []
    for index in 0..<count {
      if index & 0xFFFF == 0 { try Interrupt.check() }
      if type == .array {
        elements.append(try read(.array, from: &cursor, depth: depth + 1))
      } else {
        let bytes = try cursor.bytes("a text")
        raw.append(bytes)
        try cursor.spend(bytes.count + 3)
        if isText, let string = utf8(bytes) { elements.append(string) } else { isText = false }
      }
    }
    if isText { return "array:\(type.word):\(list(elements))" }
    return "array:\(bytesWord):\(list(raw.map(hexadecimal)))"
  }

  /// Reads the number of a type.
  static func valueType(from cursor: inout GGUFCursor) throws -> GGUFValueType {
    let number = try cursor.integer(UInt32.self, "the type of a metadata value")
    guard let type = GGUFValueType(rawValue: number) else {
      throw BessemerError(.header, "metadata of the unknown type \(number) before byte \(cursor.byteOffset)")
    }
    return type
  }

  /// The text of a number or truth value.
  private static func scalar(_ type: GGUFValueType, from cursor: inout GGUFCursor) throws -> String {
    let what = "a metadata value"
    switch type {
    case .uint8: return String(try cursor.integer(UInt8.self, what))
    case .int8: return String(try cursor.integer(Int8.self, what))
    case .uint16: return String(try cursor.integer(UInt16.self, what))
    case .int16: return String(try cursor.integer(Int16.self, what))
    case .uint32: return String(try cursor.integer(UInt32.self, what))
    case .int32: return String(try cursor.integer(Int32.self, what))
    case .uint64: return String(try cursor.integer(UInt64.self, what))
    case .int64: return String(try cursor.integer(Int64.self, what))
    case .float32: return Float(bitPattern: try cursor.integer(UInt32.self, what)).description
    case .float64: return Double(bitPattern: try cursor.integer(UInt64.self, what)).description
    case .bool:
      let byte = try cursor.integer(UInt8.self, what)
      guard byte <= 1 else {
        throw BessemerError(.header, "a truth value of \(byte) before byte \(cursor.byteOffset), expected 0 or 1")
      }
      return byte == 1 ? "true" : "false"
    case .string, .array: preconditionFailure("no number")
    }
  }

  private static func utf8(_ bytes: Bytes) -> String? {
    bytes.withUnsafeBytes { String(validating: $0, as: UTF8.self) }
  }

  private static func hexadecimal(_ bytes: Bytes) -> String {
    bytes.array.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
  }

  /// A list of strings in JSON.
  package static func list(_ strings: [String]) -> String {
    var json = JSONWriter(.compact)
    json.array { json in for string in strings { json.value(string) } }
    return json.text
  }
}
