/// What parser and document both need to know about the text of strings.
enum JSONText {
  /// The bytes of a validated string without its escapes.
  static func unescaped(_ text: Span<UInt8>, _ start: Int, _ count: Int) -> [UInt8] {
    var result: [UInt8] = []
    result.reserveCapacity(count)
    var i = start
    let end = start + count
    while i < end {
      let byte = text[i]
      guard byte == UInt8(ascii: "\\") else {
        result.append(byte)
        i += 1
        continue
      }
      let kind = text[i + 1]
      i += 2
      switch kind {
      case UInt8(ascii: "b"): result.append(8)
      case UInt8(ascii: "f"): result.append(12)
      case UInt8(ascii: "n"): result.append(10)
      case UInt8(ascii: "r"): result.append(13)
      case UInt8(ascii: "t"): result.append(9)
      case UInt8(ascii: "u"):
        var scalar = hex4(text, i) ?? 0xFFFD
        i += 4
        if scalar & 0xFC00 == 0xD800 {
          scalar = 0x10000 + (scalar & 0x3FF) << 10 + ((hex4(text, i + 2) ?? 0xDC00) & 0x3FF)
          i += 6
        }
        append(scalar, to: &result)
      default: result.append(kind)
      }
    }
    return result
  }

  /// Appends the UTF-8 of a scalar; the parser has refused lone surrogates.
  @inline(__always)
  private static func append(_ scalar: UInt32, to result: inout [UInt8]) {
    func byte(_ shift: UInt32, _ mark: UInt32) -> UInt8 {
      UInt8(truncatingIfNeeded: (scalar >> shift) & 0x3F | mark)
    }
    switch scalar {
    case 0..<0x80: result.append(UInt8(truncatingIfNeeded: scalar))
    case 0x80..<0x800: result += [byte(6, 0xC0), byte(0, 0x80)]
    case 0x800..<0x10000: result += [byte(12, 0xE0), byte(6, 0x80), byte(0, 0x80)]
    default: result += [byte(18, 0xF0), byte(12, 0x80), byte(6, 0x80), byte(0, 0x80)]
    }
  }

  /// The value of four hexadecimal digits, or nil.
  static func hex4(_ text: Span<UInt8>, _ start: Int) -> UInt32? {
    guard start <= text.count - 4 else { return nil }
    var value: UInt32 = 0
    for i in start..<(start + 4) {
      let digit: UInt8
      switch text[i] {
      case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = text[i] - UInt8(ascii: "0")
      case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = text[i] - UInt8(ascii: "a") + 10
      case UInt8(ascii: "A")...UInt8(ascii: "F"): digit = text[i] - UInt8(ascii: "A") + 10
      default: return nil
      }
      value = value << 4 | UInt32(digit)
    }
    return value
  }

  /// The length of the well-formed UTF-8 sequence that starts at `i` (Unicode, table 3-7); zero when there is none.
  @inline(__always)
  static func sequenceLength(_ text: Span<UInt8>, _ i: Int) -> Int {
    let lead = text[i]
    let length: Int
    var second: ClosedRange<UInt8> = 0x80...0xBF
    switch lead {
    case 0...0x7F: return 1
    case 0xC2...0xDF: length = 2
    case 0xE0: (length, second) = (3, 0xA0...0xBF)
    case 0xED: (length, second) = (3, 0x80...0x9F)
    case 0xE1...0xEF: length = 3
    case 0xF0: (length, second) = (4, 0x90...0xBF)
    case 0xF1...0xF3: length = 4
    case 0xF4: (length, second) = (4, 0x80...0x8F)
    default: return 0
    }
    guard i <= text.count - length, second.contains(text[i + 1]) else { return 0 }
    for k in 2..<max(length, 2) where text[i + k] & 0xC0 != 0x80 { return 0 }
    return length
  }

  /// Whether two windows of a text hold the same bytes.
  static func equal(_ a: Span<UInt8>, _ i: Int, _ b: Span<UInt8>, _ j: Int, count: Int) -> Bool {
    var k = 0
    let (x, y) = (a.bytes, b.bytes)
    while k + 8 <= count {
      let u = x.unsafeLoadUnaligned(fromByteOffset: i + k, as: UInt64.self)
      guard u == y.unsafeLoadUnaligned(fromByteOffset: j + k, as: UInt64.self) else { return false }
      k += 8
    }
    while k < count {
      guard a[i + k] == b[j + k] else { return false }
      k += 1
    }
    return true
  }

  /// Whether a key node spells `wanted`.
  static func isKey(_ node: JSONNode, _ wanted: Span<UInt8>, _ text: Span<UInt8>) -> Bool {
    let start = Int(node.offset) + 1
    guard node.isEscaped else {
      return node.byteCount == wanted.count && equal(text, start, wanted, 0, count: wanted.count)
    }
    let bytes = unescaped(text, start, node.byteCount)
    return bytes.count == wanted.count && equal(bytes.span, 0, wanted, 0, count: wanted.count)
  }

  /// Whether two key nodes spell the same key.
  static func isSameKey(_ a: JSONNode, _ b: JSONNode, _ text: Span<UInt8>) -> Bool {
    if !a.isEscaped && !b.isEscaped {
      return a.byteCount == b.byteCount
        && equal(text, Int(a.offset) + 1, text, Int(b.offset) + 1, count: a.byteCount)
    }
    return unescaped(text, Int(a.offset) + 1, a.byteCount) == unescaped(text, Int(b.offset) + 1, b.byteCount)
  }
}
