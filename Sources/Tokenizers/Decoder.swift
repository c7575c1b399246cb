internal import Tensors

/// One step from tokens to text. A Sequence of the file is a list of these.
enum Decoder: Sendable {
  case byteLevel
  case wordPiece(prefix: [UInt8], cleansUp: Bool)
  case bpe(suffix: [UInt8])
  case metaspace(replacement: UInt32, prepends: Bool)
  case byteFallback
  case fuse
  case strip(UInt32, start: Int, stop: Int)
  case replace(SplitPattern, [UInt8])
  case ctc(pad: [UInt8], delimiter: [UInt8], cleansUp: Bool)

  func apply(_ tokens: [[UInt8]], _ budget: inout Regex.Budget) throws(BessemerError) -> [[UInt8]] {
    switch self {
    case .byteLevel:
      var bytes: [UInt8] = []
      for token in tokens { ByteAlphabet.decode(token[...], into: &bytes) }
      return [Array(String(decoding: bytes, as: UTF8.self).utf8)]
    case .wordPiece(let prefix, let cleansUp): return Self.wordPiece(tokens, prefix, cleansUp)
    case .bpe(let suffix):
      return tokens.enumerated().map { index, token in
        Self.replacing(token, suffix, with: index == tokens.count - 1 ? [] : [0x20])
      }
    case .metaspace(let replacement, let prepends):
      return tokens.enumerated().map { index, token in
        var out: [UInt8] = []
        UTF8Text.forEach(token.span) { scalar, _ in
          if scalar != replacement {
            UTF8Text.append(scalar, to: &out)
          } else if index > 0 || !prepends {
            out.append(0x20)
          }
        }
        return out
      }
    case .byteFallback: return Self.byteFallback(tokens)
    case .fuse: return [tokens.reduce(into: []) { $0 += $1 }]
    case .strip(let scalar, let start, let stop): return tokens.map { Self.strip($0, scalar, start, stop) }
    case .replace(let pattern, let content):
      var out: [[UInt8]] = []
      for token in tokens { out.append(try Self.replace(token, pattern, content, &budget)) }
      return out
    case .ctc(let pad, let delimiter, let cleansUp): return Self.ctc(tokens, pad, delimiter, cleansUp)
    }
  }

  private static func replace(
    _ token: [UInt8], _ pattern: SplitPattern, _ content: [UInt8], _ budget: inout Regex.Budget
  ) throws(BessemerError) -> [UInt8] {
    if token.isEmpty { return [] }
    var out: [UInt8] = []
    for part in try pattern.parts(token.span, 0..<token.count, false, &budget) {
      if part.isMatch { out += content } else { out += token[part.start..<part.end] }
      try PieceBuffer.check(out.count)
    }
    return out
  }

  private static func wordPiece(_ tokens: [[UInt8]], _ prefix: [UInt8], _ cleansUp: Bool) -> [[UInt8]] {
    tokens.enumerated().map { index, token in
      var token = token
      if index > 0 {
        if token.starts(with: prefix) { token.removeFirst(prefix.count) } else { token.insert(0x20, at: 0) }
      }
      return cleansUp ? cleanedUp(token) : token
    }
  }

  private static let cleanups: [([UInt8], [UInt8])] = [
    (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m"),
    (" do not", " don't"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"),
  ].map { (Array($0.0.utf8), Array($0.1.utf8)) }

  private static func cleanedUp(_ token: [UInt8]) -> [UInt8] {
    cleanups.reduce(token) { replacing($0, $1.0, with: $1.1) }
  }

  /// Replaces all occurrences from left to right. Nothing to look for stands between all scalars and at both ends.
  static func replacing(_ text: [UInt8], _ wanted: [UInt8], with content: [UInt8]) -> [UInt8] {
    var out: [UInt8] = []
    out.reserveCapacity(text.count)
    var position = 0
    while position < text.count {
      let isStart = text[position] & 0xC0 != 0x80
      if wanted.isEmpty {
        if isStart { out += content }
      } else if text[position...].starts(with: wanted) {
        out += content
        position += wanted.count
        continue
      }
      out.append(text[position])
      position += 1
    }
    return wanted.isEmpty ? out + content : out
  }

  private static func byteFallback(_ tokens: [[UInt8]]) -> [[UInt8]] {
    var out: [[UInt8]] = []
    var bytes: [UInt8] = []
    func flush() {
      if bytes.isEmpty { return }
      if isValid(bytes) {
        out.append(bytes)
      } else {
        out += [[UInt8]](repeating: [0xEF, 0xBF, 0xBD], count: bytes.count)
      }
      bytes = []
    }
    for token in tokens {
      if let byte = byte(of: token) {
        bytes.append(byte)
      } else {
        flush()
        out.append(token)
      }
    }
    flush()
    return out
  }

  /// The byte that `<0x41>` names; Rust's number parser also takes a plus sign.
  static func byte(of token: [UInt8]) -> UInt8? {
    guard token.count == 6, token.starts(with: "<0x".utf8), token[5] == UInt8(ascii: ">"), token[3] != UInt8(ascii: "-")
    else {
      return nil
    }
    return UInt8(String(decoding: token[3..<5], as: UTF8.self), radix: 16)
  }

  private static func isValid(_ bytes: [UInt8]) -> Bool {
    String(validating: bytes, as: UTF8.self) != nil
  }

  private static func strip(_ token: [UInt8], _ scalar: UInt32, _ start: Int, _ stop: Int) -> [UInt8] {
    var content: [UInt8] = []
    UTF8Text.append(scalar, to: &content)
    let span = token.span
    func holds(_ place: Int) -> Bool {
      place >= 0 && place + content.count <= token.count && token[place...].starts(with: content)
    }
    var low = 0
    for _ in 0..<start {
      guard holds(low) else { break }
      low += content.count
    }
    var high = span.count
    for _ in 0..<stop {
      guard holds(high - content.count) else { break }
      high -= content.count
    }
    return low < high ? Array(token[low..<high]) : []
  }

  private static func ctc(_ tokens: [[UInt8]], _ pad: [UInt8], _ delimiter: [UInt8], _ cleansUp: Bool) -> [[UInt8]] {
    var out: [[UInt8]] = []
    var last: [UInt8]?
    for token in tokens where token != last {
      last = token
      var text = replacing(token, pad, with: [])
      if cleansUp { text = replacing(cleanedUp(text), delimiter, with: [0x20]) }
      if !text.isEmpty { out.append(text) }
    }
    return out
  }
}
