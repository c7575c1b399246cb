import Glibc

/// One value or key on the tape of a document.
struct JSONNode {
  enum Kind: UInt8 {
    case null, `true`, `false`, int, uint, float, string, array, object
  }

  /// Where the value starts in the text; for a string, the opening quote.
  var offset: UInt32
  var kind: Kind
  /// Whether a string contains escapes.
  var isEscaped = false
  /// int, uint: the value. float, string: the bytes written (a string without its quotes).
  /// array, object: the tape index after the last child in the low half, the number of children in the high half.
  var payload: UInt64 = 0

  var byteCount: Int { Int(truncatingIfNeeded: payload) }
  var childCount: Int { Int(payload >> 32) }

  /// The tape index of what follows the node that stands at `index`.
  @inline(__always)
  func next(after index: Int) -> Int {
    switch kind {
    case .array, .object: Int(payload & 0xFFFF_FFFF)
    default: index + 1
    }
  }
}

/// A parsed document: its text and the tape of its nodes in the order of the text.
final class JSONDocument: Sendable {
  let text: Bytes
  let tape: [JSONNode]
  private let keyTables: JSONKeyTables

  init(_ text: Bytes, limits: JSON.Limits) throws {
    self.text = text
    guard text.count <= min(limits.byteCount, Int(UInt32.max)) else {
      throw BessemerError(.limit, "JSON text of \(text.count) bytes, at most \(limits.byteCount) are read")
    }
    var parser = JSONParser(limits: limits, byteCount: text.count)
    try text.withUnsafeBytes { raw in
      // Bytes are plain memory of the right size, alive inside the closure.
      try parser.parse(raw.assumingMemoryBound(to: UInt8.self).span)
    }
    tape = parser.tape
    keyTables = parser.keyTables
  }

  /// The string or key at a tape index.
  func string(at index: Int) -> String {
    let node = tape[index]
    let start = Int(node.offset) + 1
    return text.withUnsafeBytes { raw in
      if node.isEscaped {
        let span = raw.assumingMemoryBound(to: UInt8.self).span
        return String(decoding: JSONText.unescaped(span, start, node.byteCount), as: UTF8.self)
      }
      return String(decoding: UnsafeRawBufferPointer(rebasing: raw[start..<(start + node.byteCount)]), as: UTF8.self)
    }
  }

  /// Whether the string or key at a tape index has these bytes.
  func isString(_ wanted: String, at index: Int) -> Bool {
    var wanted = wanted
    return wanted.withUTF8 { wanted in
      text.withUnsafeBytes { JSONText.isKey(tape[index], wanted.span, $0.assumingMemoryBound(to: UInt8.self).span) }
    }
  }

  /// The number at the tape index of a float node, correctly rounded.
  func double(at index: Int) -> Double {
    let node = tape[index]
    let start = Int(node.offset)
    let written = text.withUnsafeBytes { raw in
      String(decoding: UnsafeRawBufferPointer(rebasing: raw[start..<(start + node.byteCount)]), as: UTF8.self)
    }
    // Swift's own conversion does not look at the locale; it returns nil for no text that the parser passes.
    return Double(written) ?? .nan
  }

  /// The tape index of the value of a key, compared by bytes.
  func member(_ key: String, of object: Int) -> Int? {
    var key = key
    return key.withUTF8 { wanted in
      text.withUnsafeBytes { raw in
        let span = raw.assumingMemoryBound(to: UInt8.self).span
        let node = tape[object]
        if let found = keyTables.find(wanted.span, in: object, tape: tape, text: span) { return found.value }
        var child = object + 1
        for _ in 0..<node.childCount {
          if JSONText.isKey(tape[child], wanted.span, span) { return child + 1 }
          child = tape[child + 1].next(after: child + 1)
        }
        return nil
      }
    }
  }

  /// How the value at a tape index is reached from the root: `text_config.rope.factors[3]`; the root is empty.
  func path(to target: Int) -> String {
    var path = ""
    var container = 0
    while container != target {
      let node = tape[container]
      var child = container + 1
      for position in 0..<node.childCount {
        let value = node.kind == .object ? child + 1 : child
        let end = tape[value].next(after: value)
        if target < end {
          if node.kind == .object {
            path += (path.isEmpty ? "" : ".") + escaped(string(at: child), limit: 60)
          } else {
            path += "[\(position)]"
          }
          container = value
          break
        }
        child = end
      }
      guard container > 0 else { break }
    }
    return path
  }
}
