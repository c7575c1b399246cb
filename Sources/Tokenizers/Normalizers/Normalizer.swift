internal import Tensors

/// One step that rewrites a text before it is cut. A Sequence of the file is a list of these.
enum Normalizer: Sendable {
  case bert(BertNormalizer)
  case unicode(NormalizationForm)
  case lowercase
  case stripAccents
  case strip(left: Bool, right: Bool)
  case replace(SplitPattern, [UInt8])
  case prepend([UInt8])
  case nmt
  case byteLevel

  func apply(_ text: inout NormalizedText, _ budget: inout Regex.Budget) throws(BessemerError) {
    switch self {
    case .bert(let bert): bert.apply(&text)
    case .unicode(let form): Self.normalize(&text, form)
    case .lowercase: Self.lowercase(&text)
    case .stripAccents:
      if text.isASCII { return }
      let tables = UnicodeTables.shared
      text.filterScalars { !tables[$0].isCombiningMark }
    case .strip(let left, let right): Self.strip(&text, left: left, right: right)
    case .replace(let pattern, let content): try Self.replace(&text, pattern, content, &budget)
    case .prepend(let prefix):
      guard !text.bytes.isEmpty else { return }
      text.bytes.insert(contentsOf: prefix, at: 0)
      if text.originByteCount > 0 { text.originByteCount += prefix.count }
    case .nmt: Self.nmt(&text)
    case .byteLevel:
      let source = text.bytes
      text.mapScalars { _, place, out in
        for index in place { UTF8Text.append(ByteAlphabet.scalars[Int(source[index])], to: &out) }
      }
    }
    try PieceBuffer.check(text.bytes.count)
  }

  static func normalize(_ text: inout NormalizedText, _ form: NormalizationForm) {
    let origin = text.originByteCount
    if origin > 0, origin < text.bytes.count {
      text.originByteCount = form.apply(Array(text.bytes[..<origin])).count
    }
    let isWhole = origin >= text.bytes.count
    text.bytes = form.apply(text.bytes)
    text.originByteCount = isWhole ? text.bytes.count : min(text.originByteCount, text.bytes.count)
  }

  static func lowercase(_ text: inout NormalizedText) {
    let tables = UnicodeTables.shared
    text.mapScalars { scalar, _, out in
      if scalar < 0x80 {
        out.append(UInt8(scalar &- 0x41 < 26 ? scalar + 0x20 : scalar))
      } else if tables[scalar].changesInLowercase, let lower = ScalarMap.lowercase.find(scalar) {
        for part in lower { UTF8Text.append(part, to: &out) }
      } else {
        UTF8Text.append(scalar, to: &out)
      }
    }
  }

  private static func strip(_ text: inout NormalizedText, left: Bool, right: Bool) {
    let tables = UnicodeTables.shared
    let source = text
    let span = source.bytes.span
    var start = 0
    var end = span.count
    while left, start < end {
      let (scalar, length) = UTF8Text.scalar(span, start)
      guard tables[scalar].isSpace else { break }
      start += length
    }
    while right, end > start {
      let last = UTF8Text.start(span, before: end)
      guard tables[UTF8Text.scalar(span, last).value].isSpace else { break }
      end = last
    }
    text.bytes = Array(source.bytes[start..<end])
    text.originByteCount = min(max(0, text.originByteCount - start), text.bytes.count)
  }

  private static func replace(
    _ text: inout NormalizedText, _ pattern: SplitPattern, _ content: [UInt8], _ budget: inout Regex.Budget
  ) throws(BessemerError) {
    guard !text.bytes.isEmpty else { return }
    var out: [UInt8] = []
    out.reserveCapacity(text.bytes.count)
    var origin = 0
    for part in try pattern.parts(text.bytes.span, 0..<text.bytes.count, false, &budget) {
      if part.isMatch {
        out += content
        try PieceBuffer.check(out.count)
        // New text belongs to the last character it replaces, or to the one before it.
        if part.end <= text.originByteCount { origin = out.count }
      } else {
        out += text.bytes[part.start..<part.end]
        if part.start < text.originByteCount { origin = out.count - max(0, part.end - text.originByteCount) }
      }
    }
    text.bytes = out
    text.originByteCount = origin
  }

  /// SentencePiece's nmt rules: some controls go, other blanks become a space.
  private static func nmt(_ text: inout NormalizedText) {
    text.mapScalars { scalar, _, out in
      switch scalar {
      case 0x01...0x08, 0x0B, 0x0E...0x1F, 0x7F, 0x8F, 0x9F: break
      case 0x09, 0x0A, 0x0C, 0x0D, 0x1680, 0x200B...0x200F, 0x2028, 0x2029, 0x2581, 0xFEFF, 0xFFFD: out.append(0x20)
      default: UTF8Text.append(scalar, to: &out)
      }
    }
  }
}

/// The normalizer of BERT: cleans the text, sets Chinese characters apart, strips accents, makes it lower case.
struct BertNormalizer: Sendable {
  let cleansText: Bool
  let separatesChinese: Bool
  let stripsAccents: Bool
  let lowercases: Bool

  func apply(_ text: inout NormalizedText) {
    let tables = UnicodeTables.shared
    if cleansText || separatesChinese {
      text.mapScalars { scalar, _, out in
        if scalar < 0x80 {
          let isControl = scalar < 0x20 || scalar == 0x7F
          if !cleansText || !isControl {
            out.append(UInt8(scalar))
          } else if scalar == 9 || scalar == 10 || scalar == 13 {
            out.append(0x20)
          }
        } else if cleansText && tables[scalar].isBertControl {
        } else if cleansText && tables[scalar].isSpace {
          out.append(0x20)
        } else if separatesChinese && Self.isChinese(scalar) {
          out.append(0x20)
          UTF8Text.append(scalar, to: &out)
          out.append(0x20)
        } else {
          UTF8Text.append(scalar, to: &out)
        }
      }
    }
    if stripsAccents && !text.isASCII {
      Normalizer.normalize(&text, .nfd)
      text.filterScalars { $0 < 0x300 || !tables[$0].isNonspacing }
    }
    if lowercases { Normalizer.lowercase(&text) }
  }

  private static func isChinese(_ scalar: UInt32) -> Bool {
    switch scalar {
    case 0x4E00...0x9FFF, 0x3400...0x4DBF, 0x20000...0x2A6DF, 0x2A700...0x2B73F, 0x2B740...0x2B81F, 0x2B920...0x2CEAF,
      0xF900...0xFAFF, 0x2F800...0x2FA1F:
      true
    default: false
    }
  }
}
