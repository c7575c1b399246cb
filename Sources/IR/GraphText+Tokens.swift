import Tensors

/// The smallest pieces of a graph's text, and where they stand.
extension GraphParser {
  mutating func skipSpace() {
    while at < bytes.count {
      switch bytes[at] {
      case UInt8(ascii: " "), UInt8(ascii: "\n"), UInt8(ascii: "\t"), UInt8(ascii: "\r"): at += 1
      case UInt8(ascii: "#"): while at < bytes.count, bytes[at] != UInt8(ascii: "\n") { at += 1 }
      default: return
      }
    }
  }

  mutating func peek(_ byte: UInt8) -> Bool {
    skipSpace()
    return at < bytes.count && bytes[at] == byte
  }

  mutating func accept(_ text: StaticString) -> Bool {
    skipSpace()
    let count = text.utf8CodeUnitCount
    guard bytes.count - at >= count else { return false }
    for k in 0..<count where bytes[at + k] != text.utf8Start[k] { return false }
    at += count
    return true
  }

  mutating func expect(_ text: StaticString) throws {
    guard accept(text) else {
      token = at
      throw error("expected '\(text)'")
    }
  }

  /// Letters, digits, `_` and `.`.
  mutating func word() throws -> String {
    skipSpace()
    token = at
    let start = at
    while at < bytes.count {
      switch bytes[at] {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"),
        UInt8(ascii: "_"), UInt8(ascii: "."):
        at += 1
        continue
      default: break
      }
      break
    }
    guard at > start else { throw error("expected a word") }
    return String(decoding: bytes[start..<at], as: UTF8.self)
  }

  mutating func string() throws -> String {
    skipSpace()
    token = at
    try expect("\"")
    let start = at
    while at < bytes.count, bytes[at] != UInt8(ascii: "\""), bytes[at] != UInt8(ascii: "\\") { at += 1 }
    var result = Array(bytes[start..<at])
    while at < bytes.count {
      let byte = bytes[at]
      at += 1
      switch byte {
      case UInt8(ascii: "\""):
        guard let text = String(validating: result, as: UTF8.self) else { throw error("a string is not UTF-8") }
        return text
      case UInt8(ascii: "\\"):
        guard at < bytes.count else { break }
        at += 1
        switch bytes[at - 1] {
        case UInt8(ascii: "n"): result.append(UInt8(ascii: "\n"))
        case UInt8(ascii: "u"):
          try expect("{")
          let start = at
          while at < bytes.count, bytes[at] != UInt8(ascii: "}"), at - start < 8 { at += 1 }
          guard let value = UInt32(String(decoding: bytes[start..<at], as: UTF8.self), radix: 16),
            let scalar = Unicode.Scalar(value)
          else { throw error("bad \\u{} escape") }
          try expect("}")
          result += String(scalar).utf8
        case let other: result.append(other)
        }
      default: result.append(byte)
      }
    }
    throw error("a string does not end")
  }

  /// `line 3, column 7`, where ``token`` is.
  var position: String {
    let before = bytes[..<min(token, bytes.count)]
    let line = before.count { $0 == UInt8(ascii: "\n") } + 1
    let column = before.count - (before.lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? 0) + 1
    return "line \(line), column \(column)"
  }

  func error(_ message: String) -> BessemerError { BessemerError(.graphText, "\(position): \(message)") }
}
