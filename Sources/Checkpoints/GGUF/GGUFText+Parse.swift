internal import Tensors

extension GGUFText {
  /// What a text stands for: its type, and the value's bytes as a file has them, in little-endian order.
  static func parse(_ text: String) -> (type: GGUFValueType, bytes: [UInt8]) {
    value(text) ?? (.string, string(Array(text.utf8)))
  }

  /// The value of a text that names its type, exactly as ``read(_:from:depth:)`` writes it; nil for any other text.
  static func value(_ text: String) -> (type: GGUFValueType, bytes: [UInt8])? {
    guard let (word, rest) = split(text[...]) else { return nil }
    if word == "bytes" {
      guard let bytes = bytes(rest), String(validating: bytes, as: UTF8.self) == nil else { return nil }
      return (.string, string(bytes))
    }
    guard let type = GGUFValueType(word: word) else { return nil }
    switch type {
    case .string:
      // Only a text that could be taken for a value has this in front, any number of times.
      var inner = rest
      while let (word, rest) = split(inner), word == "string" { inner = rest }
      return inner.isEmpty || value(String(inner)) == nil ? nil : (type, string(Array(rest.utf8)))
    case .array: return array(rest).map { (type, $0) }
    default: return scalar(type, rest).map { (type, $0) }
    }
  }

  private static func array(_ text: Substring) -> [UInt8]? {
    guard let (word, rest) = split(text) else { return nil }
    if word == "string" || word == "bytes" || word == "array" {
      guard let elements = strings(rest), list(elements) == rest else { return nil }
      var bytes: [UInt8] = []
      for text in elements {
        switch word {
        case "string": bytes += string(Array(text.utf8))
        case "bytes":
          guard let raw = Self.bytes(text[...]) else { return nil }
          bytes += string(raw)
        default:
          guard let (type, value) = value(text), type == .array else { return nil }
          bytes += value
        }
      }
      let type: GGUFValueType = word == "array" ? .array : .string
      return little(type.rawValue) + little(UInt64(elements.count)) + bytes
    }
    guard let type = GGUFValueType(word: word), rest.first == "[", rest.last == "]" else { return nil }
    let elements = rest.dropFirst().dropLast().utf8.split(
      separator: UInt8(ascii: ","), omittingEmptySubsequences: false)
    let isEmpty = rest.utf8.count == 2
    var bytes = little(type.rawValue) + little(UInt64(isEmpty ? 0 : elements.count))
    if isEmpty { return bytes }
    bytes.reserveCapacity(bytes.count + elements.count * type.leastByteCount)
    for element in elements {
      guard let value = scalar(type, Substring(element)) else { return nil }
      bytes += value
    }
    return bytes
  }

  /// The strings of a list in JSON.
  static func strings(_ text: Substring) -> [String]? {
    guard let list = try? JSON.parse(String(text)), list.kind == .array else { return nil }
    var strings: [String] = []
    for element in list.elements {
      guard let string = element.string else { return nil }
      strings.append(string)
    }
    return strings
  }

  /// The bytes of a number or truth value that is spelled as it is written here.
  private static func scalar(_ type: GGUFValueType, _ text: Substring) -> [UInt8]? {
    func integer<I: FixedWidthInteger>(_ type: I.Type) -> [UInt8]? {
      guard let value = I(text), String(value) == text else { return nil }
      return little(value)
    }
    switch type {
    case .uint8: return integer(UInt8.self)
    case .int8: return integer(Int8.self)
    case .uint16: return integer(UInt16.self)
    case .int16: return integer(Int16.self)
    case .uint32: return integer(UInt32.self)
    case .int32: return integer(Int32.self)
    case .uint64: return integer(UInt64.self)
    case .int64: return integer(Int64.self)
    case .float32:
      guard let value = Float(text), value.description == text else { return nil }
      return little(value.bitPattern)
    case .float64:
      guard let value = Double(text), value.description == text else { return nil }
      return little(value.bitPattern)
    case .bool: return text == "true" ? [1] : text == "false" ? [0] : nil
    case .string, .array: return nil
    }
  }

  /// The word before the first colon, and what follows it.
  static func split(_ text: Substring) -> (word: Substring, rest: Substring)? {
    // No word is longer.
    guard let colon = text.utf8.prefix(8).firstIndex(of: UInt8(ascii: ":")) else { return nil }
    return (text[..<colon], text[text.utf8.index(after: colon)...])
  }

  /// A string as a file has it: its length, and its bytes.
  static func string(_ bytes: [UInt8]) -> [UInt8] { little(UInt64(bytes.count)) + bytes }

  /// The bytes of hexadecimal digits in lower case.
  private static func bytes(_ digits: Substring) -> [UInt8]? {
    let digits = Array(digits.utf8)
    guard digits.count % 2 == 0, digits.allSatisfy({ (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }) else {
      return nil
    }
    func value(_ digit: UInt8) -> UInt8 { digit < 0x3A ? digit - 0x30 : digit - 0x57 }
    return stride(from: 0, to: digits.count, by: 2).map { value(digits[$0]) << 4 | value(digits[$0 + 1]) }
  }

  static func little<I: FixedWidthInteger>(_ value: I) -> [UInt8] {
    withUnsafeBytes(of: value.littleEndian) { Array($0) }
  }
}
