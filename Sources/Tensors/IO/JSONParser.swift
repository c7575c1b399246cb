/// Builds the tape of a document in one pass without recursion.
struct JSONParser {
  /// An array or object that is not closed yet.
  private struct Frame {
    let node: Int
    var childCount: UInt32
    let isObject: Bool
  }

  /// Characters of an integer, and of a number with fraction or exponent.
  private static let integerLength = 32
  private static let floatLength = 1024

  private let limits: JSON.Limits
  private(set) var tape: [JSONNode] = []
  private(set) var keyTables = JSONKeyTables()
  private var frames: [Frame] = []

  init(limits: JSON.Limits, byteCount: Int) {
    self.limits = limits
    tape.reserveCapacity(min(byteCount / 8 + 16, limits.nodeCount))
    frames.reserveCapacity(limits.depth)
  }

  mutating func parse(_ text: Span<UInt8>) throws {
    if text.count >= 3, text[0] == 0xEF, text[1] == 0xBB, text[2] == 0xBF {
      throw BessemerError(.json, "expected a JSON value at byte 0, found a byte order mark")
    }
    var i = 0
    repeat {
      try value(text, &i)
      try closeAndSeparate(text, &i)
    } while !frames.isEmpty
    skipSpace(text, &i)
    guard i == text.count else { throw unexpected(text, i, "the end of the text after the JSON value") }
  }

  /// Reads a scalar, or opens containers until a scalar or an empty container is read.
  private mutating func value(_ text: Span<UInt8>, _ i: inout Int) throws {
    while true {
      skipSpace(text, &i)
      switch peek(text, i) {
      case UInt8(ascii: "\""):
        try string(text, &i)
        return
      case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"):
        try number(text, &i)
        return
      case UInt8(ascii: "{"):
        try open(isObject: true, i)
        i += 1
        skipSpace(text, &i)
        if peek(text, i) == UInt8(ascii: "}") { return }
        try key(text, &i, orEnd: true)
      case UInt8(ascii: "["):
        try open(isObject: false, i)
        i += 1
        skipSpace(text, &i)
        if peek(text, i) == UInt8(ascii: "]") { return }
      case UInt8(ascii: "t"):
        try literal("true", .true, text, &i)
        return
      case UInt8(ascii: "f"):
        try literal("false", .false, text, &i)
        return
      case UInt8(ascii: "n"):
        try literal("null", .null, text, &i)
        return
      default: throw unexpected(text, i, "a JSON value")
      }
    }
  }

  /// After a value: closes what ends here and passes a comma, with the key that follows it in an object.
  private mutating func closeAndSeparate(_ text: Span<UInt8>, _ i: inout Int) throws {
    while let frame = frames.last {
      skipSpace(text, &i)
      // An empty container stands at its own end; every other one has just got a child.
      let isEmpty = tape.count == frame.node + 1
      if !isEmpty { frames[frames.count - 1].childCount += 1 }
      let byte = peek(text, i)
      if byte == UInt8(ascii: ","), !isEmpty {
        i += 1
        if frame.isObject {
          skipSpace(text, &i)
          try key(text, &i, orEnd: false)
        }
        return
      }
      guard byte == (frame.isObject ? UInt8(ascii: "}") : UInt8(ascii: "]")) else {
        throw unexpected(text, i, frame.isObject ? "',' or '}' in an object" : "',' or ']' in an array")
      }
      i += 1
      let childCount = frames[frames.count - 1].childCount
      frames.removeLast()
      tape[frame.node].payload = UInt64(childCount) << 32 | UInt64(tape.count)
      if frame.isObject { try checkKeys(of: frame.node, Int(childCount), text) }
    }
  }

  private mutating func open(isObject: Bool, _ i: Int) throws {
    guard frames.count < limits.depth else {
      throw BessemerError(.limit, "JSON nested deeper than \(limits.depth) levels at byte \(i)")
    }
    frames.append(Frame(node: tape.count, childCount: 0, isObject: isObject))
    try append(JSONNode(offset: UInt32(truncatingIfNeeded: i), kind: isObject ? .object : .array))
  }

  private mutating func key(_ text: Span<UInt8>, _ i: inout Int, orEnd: Bool) throws {
    guard peek(text, i) == UInt8(ascii: "\"") else { throw unexpected(text, i, orEnd ? "a key or '}'" : "a key") }
    try string(text, &i)
    skipSpace(text, &i)
    guard peek(text, i) == UInt8(ascii: ":") else { throw unexpected(text, i, "':' after a key") }
    i += 1
  }

  @inline(__always)
  private mutating func append(_ node: JSONNode) throws {
    guard tape.count < limits.nodeCount else {
      throw BessemerError(.limit, "more than \(limits.nodeCount) JSON values at byte \(node.offset)")
    }
    tape.append(node)
  }

  private mutating func literal(_ word: StaticString, _ kind: JSONNode.Kind, _ text: Span<UInt8>, _ i: inout Int) throws
  {
    let start = i
    for k in 0..<word.utf8CodeUnitCount {
      // A static string of ASCII is a pointer to that many bytes.
      guard peek(text, i) == word.utf8Start[k] else { throw unexpected(text, i, "the word '\(word)'") }
      i += 1
    }
    try append(JSONNode(offset: UInt32(truncatingIfNeeded: start), kind: kind))
  }

  private mutating func checkKeys(of object: Int, _ count: Int, _ text: Span<UInt8>) throws {
    var duplicate: Int?
    if count > JSONKeyTables.threshold {
      duplicate = keyTables.add(object, childCount: count, tape: tape, text: text)
    } else if count > 1 {
      var keys = InlineArray<8, Int>(repeating: 0)
      var key = object + 1
      for position in 0..<count {
        for earlier in 0..<position where JSONText.isSameKey(tape[keys[earlier]], tape[key], text) { duplicate = key }
        keys[position] = key
        key = tape[key + 1].next(after: key + 1)
      }
    }
    guard let duplicate else { return }
    let node = tape[duplicate]
    let name = String(decoding: JSONText.unescaped(text, Int(node.offset) + 1, node.byteCount), as: UTF8.self)
    throw BessemerError(.json, "duplicate key \(quoted(name)) at byte \(node.offset)")
  }
}

extension JSONParser {
  /// Reads a string from its opening quote on.
  @inline(__always)
  private mutating func string(_ text: Span<UInt8>, _ i: inout Int) throws {
    let start = i
    var isEscaped = false
    i += 1
    let raw = text.bytes
    scan: while true {
      while i + 8 <= text.count {
        let word = raw.unsafeLoadUnaligned(fromByteOffset: i, as: UInt64.self)
        let special = JSONParser.specialBytes(word)
        guard special == 0 else {
          i += special.trailingZeroBitCount / 8
          break
        }
        i += 8
      }
      guard i < text.count else { throw BessemerError(.json, "the string that starts at byte \(start) is not closed") }
      let byte = text[i]
      switch byte {
      case UInt8(ascii: "\""): break scan
      case UInt8(ascii: "\\"):
        isEscaped = true
        try escape(text, &i)
      case 0..<0x20: throw unexpected(text, i, "an escape, as control characters must not stand in a string")
      default:
        let length = JSONText.sequenceLength(text, i)
        guard length > 0 else { throw BessemerError(.json, "invalid UTF-8 in a string at byte \(i)") }
        i += length
      }
    }
    let count = i - start - 1
    i += 1
    guard count <= limits.stringByteCount else {
      throw BessemerError(
        .limit, "string of \(count) bytes at byte \(start), at most \(limits.stringByteCount) are read")
    }
    try append(
      JSONNode(offset: UInt32(truncatingIfNeeded: start), kind: .string, isEscaped: isEscaped, payload: UInt64(count)))
  }

  /// The high bit of each byte of `word` that ends a run of plain characters: quote, backslash, control or non-ASCII.
  /// Bytes after the first such one may be wrong, which nobody looks at.
  @inline(__always)
  private static func specialBytes(_ word: UInt64) -> UInt64 {
    let ones: UInt64 = 0x0101_0101_0101_0101
    let quote = word ^ (ones &* 0x22)
    let backslash = word ^ (ones &* 0x5C)
    let found = (quote &- ones) & ~quote | (backslash &- ones) & ~backslash | (word &- ones &* 0x20) & ~word | word
    return found & (ones &* 0x80)
  }

  private func escape(_ text: Span<UInt8>, _ i: inout Int) throws {
    let start = i
    i += 1
    switch peek(text, i) {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"),
      UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
      i += 1
    case UInt8(ascii: "u"):
      guard let unit = JSONText.hex4(text, i + 1) else { throw unexpected(text, i + 1, "four hexadecimal digits") }
      i += 5
      guard unit & 0xF800 == 0xD800 else { return }
      guard unit & 0xFC00 == 0xD800, peek(text, i) == UInt8(ascii: "\\"), peek(text, i + 1) == UInt8(ascii: "u"),
        let low = JSONText.hex4(text, i + 2), low & 0xFC00 == 0xDC00
      else { throw BessemerError(.json, "lone surrogate escape at byte \(start), expected a pair") }
      i += 6
    default: throw unexpected(text, i, "one of \"\\/bfnrtu after a backslash")
    }
  }

  /// Reads a number: an exact integer where it fits 64 bits, the window of its text otherwise.
  private mutating func number(_ text: Span<UInt8>, _ i: inout Int) throws {
    let start = i
    let isNegative = peek(text, i) == UInt8(ascii: "-")
    if isNegative { i += 1 }
    let first = i
    var magnitude: UInt64 = 0
    var fits = true
    while case let digit = peek(text, i) &- UInt8(ascii: "0"), digit < 10 {
      if i - first < 19 {
        magnitude = magnitude &* 10 &+ UInt64(digit)
      } else {
        let (tenfold, overflow) = magnitude.multipliedReportingOverflow(by: 10)
        let (sum, carry) = tenfold.addingReportingOverflow(UInt64(digit))
        if overflow || carry { fits = false }
        magnitude = sum
      }
      i += 1
    }
    guard i > first else { throw unexpected(text, i, "a digit") }
    guard text[first] != UInt8(ascii: "0") || i == first + 1 else {
      throw BessemerError(.json, "number with a leading zero at byte \(start)")
    }
    let byte = peek(text, i)
    if byte == UInt8(ascii: ".") || byte | 0x20 == UInt8(ascii: "e") {
      try fractionAndExponent(text, &i)
      try checkLength(i - start, JSONParser.floatLength, start)
      try append(JSONNode(offset: UInt32(truncatingIfNeeded: start), kind: .float, payload: UInt64(i - start)))
      return
    }
    try checkLength(i - start, JSONParser.integerLength, start)
    var node = JSONNode(offset: UInt32(truncatingIfNeeded: start), kind: .float, payload: UInt64(i - start))
    if fits, isNegative, magnitude != 0, magnitude <= UInt64(Int64.max) + 1 {
      (node.kind, node.payload) = (.int, 0 &- magnitude)
    } else if fits, !isNegative {
      (node.kind, node.payload) = (magnitude <= UInt64(Int64.max) ? .int : .uint, magnitude)
    }
    try append(node)
  }

  private func fractionAndExponent(_ text: Span<UInt8>, _ i: inout Int) throws {
    if peek(text, i) == UInt8(ascii: ".") {
      i += 1
      try digits(text, &i)
    }
    if peek(text, i) | 0x20 == UInt8(ascii: "e") {
      i += 1
      if peek(text, i) == UInt8(ascii: "+") || peek(text, i) == UInt8(ascii: "-") { i += 1 }
      try digits(text, &i)
    }
  }

  private func digits(_ text: Span<UInt8>, _ i: inout Int) throws {
    guard peek(text, i) &- UInt8(ascii: "0") < 10 else { throw unexpected(text, i, "a digit") }
    while peek(text, i) &- UInt8(ascii: "0") < 10 { i += 1 }
  }

  private func checkLength(_ count: Int, _ limit: Int, _ start: Int) throws {
    guard count <= limit else {
      throw BessemerError(.json, "number of \(count) characters at byte \(start), at most \(limit) are read")
    }
  }

  /// The byte at `i`, or zero, which stands nowhere in JSON, at the end.
  @inline(__always)
  private func peek(_ text: Span<UInt8>, _ i: Int) -> UInt8 { i < text.count ? text[i] : 0 }

  @inline(__always)
  private func skipSpace(_ text: Span<UInt8>, _ i: inout Int) {
    while i < text.count, case let byte = text[i], byte <= 0x20,
      byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09
    {
      i += 1
    }
  }

  private func unexpected(_ text: Span<UInt8>, _ i: Int, _ expected: String) -> BessemerError {
    let found =
      i >= text.count
      ? "the end of the text"
      : text[i] > 0x20 && text[i] < 0x7F
        ? "'\(Unicode.Scalar(text[i]))'" : "byte 0x" + (text[i] < 16 ? "0" : "") + String(text[i], radix: 16)
    return BessemerError(.json, "expected \(expected) at byte \(i), found \(found)")
  }
}
