internal import Tensors

/// What texts of metadata stand for.
extension GGUFText {
  /// The number of an integer type.
  package static func integer(_ text: String) -> Int? {
    guard let (word, rest) = split(text[...]), let type = GGUFValueType(word: word), type != .float32, type != .float64
    else { return nil }
    return Int(rest)
  }

  /// The number of any type, as it is written: a float32 of 0.1 is 0.1.
  package static func number(_ text: String) -> Double? {
    guard let (word, rest) = split(text[...]), let type = GGUFValueType(word: word), type != .string else { return nil }
    return Double(rest)
  }

  /// The numbers of an array.
  package static func numbers(ofText text: String) -> [Double]? {
    guard let (word, rest) = split(text[...]), word == "array", let (type, list) = split(rest),
      GGUFValueType(word: type) != nil, list.first == "[", list.last == "]"
    else { return nil }
    let inner = list.dropFirst().dropLast()
    var numbers: [Double] = []
    for element in inner.utf8.split(separator: UInt8(ascii: ",")) {
      guard let number = Double(Substring(element)) else { return nil }
      numbers.append(number)
    }
    return numbers
  }

  /// The string that a text is, or stands for.
  package static func string(ofText text: String) -> String {
    guard let (type, bytes) = value(text), type == .string else { return text }
    return String(decoding: bytes.dropFirst(8), as: UTF8.self)
  }

  /// The strings of an array; nil for anything else, and where a string is no UTF-8.
  package static func strings(ofText text: String) -> [String]? {
    guard let (word, rest) = split(text[...]), word == "array", let (type, list) = split(rest), type == "string" else {
      return nil
    }
    return strings(list)
  }

  /// The text of a string, which may look like another value.
  package static func text(of string: String) -> String { value(string) == nil ? string : "string:" + string }
}
