/// What the library's several Unicode versions say of one scalar. `unicode.py` of the fixtures writes these bits.
struct ScalarProperties: Sendable, Equatable {
  let bits: UInt16

  /// The general category as an index into ``UnicodeTables/categoryNames``.
  @inline(__always) var category: UInt16 { bits & 31 }
  /// `\p{L}`
  @inline(__always) var isLetter: Bool { category < 5 }
  /// `\p{M}`
  @inline(__always) var isMark: Bool { category &- 5 < 3 }
  /// `\p{N}`
  @inline(__always) var isNumber: Bool { category &- 8 < 3 }
  /// `\p{P}` or `\p{S}`
  @inline(__always) var isPunctuationOrSymbol: Bool { category &- 11 < 11 }
  /// `\s`, which is the same set everywhere.
  @inline(__always) var isSpace: Bool { bits & 1 << 5 != 0 }
  /// `\w` of patterns.
  @inline(__always) var isWord: Bool { bits & 1 << 6 != 0 }
  /// What Digits splits.
  @inline(__always) var isNumeric: Bool { bits & 1 << 7 != 0 }
  /// `\w` of Whitespace and of added tokens that are single words.
  @inline(__always) var isCrateWord: Bool { bits & 1 << 8 != 0 }
  /// What Punctuation and BertPreTokenizer split.
  @inline(__always) var isBertPunctuation: Bool { bits & 1 << 9 != 0 }
  /// What BertNormalizer removes as control characters.
  @inline(__always) var isBertControl: Bool { bits & 1 << 10 != 0 }
  /// What BertNormalizer removes as accents.
  @inline(__always) var isNonspacing: Bool { bits & 1 << 11 != 0 }
  /// What StripAccents removes.
  @inline(__always) var isCombiningMark: Bool { bits & 1 << 12 != 0 }
  @inline(__always) var changesInLowercase: Bool { bits & 1 << 13 != 0 }
  @inline(__always) var hasCanonicalDecomposition: Bool { bits & 1 << 14 != 0 }
  @inline(__always) var hasCompatibilityDecomposition: Bool { bits & 1 << 15 != 0 }
}

/// The properties of all scalars in two stages: blocks of 256, equal blocks stored once.
struct UnicodeTables: Sendable {
  static let shared = UnicodeTables()

  /// Two-letter general categories in the order of their numbers.
  static let categoryNames = [
    "Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "No", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Sm",
    "Sc", "Sk", "So", "Zs", "Zl", "Zp", "Cc", "Cf", "Co", "Cn", "Cs",
  ]

  private let blocks: [UInt16]
  private let values: [UInt16]

  @inline(__always)
  subscript(scalar: UInt32) -> ScalarProperties {
    let block = Int(blocks[Int(scalar >> 8)])
    return ScalarProperties(bits: values[block << 8 | Int(scalar & 0xFF)])
  }

  private init() {
    var reader = BlobReader(base64: UnicodeProperties.runs)
    let distinct = (0..<reader.byte()).map { _ in UInt16(reader.byte()) | UInt16(reader.byte()) << 8 }
    var blocks: [UInt16] = []
    var values: [UInt16] = []
    var uniform: [UInt16: UInt16] = [:]
    var open: [UInt16] = []
    while blocks.count < 0x1100 {
      var length = reader.varint()
      let value = distinct[reader.byte()]
      while length > 0 {
        if open.isEmpty && length >= 256 {
          let block = uniform[value] ?? UInt16(values.count >> 8)
          if uniform.updateValue(block, forKey: value) == nil { values += repeatElement(value, count: 256) }
          blocks.append(block)
          length -= 256
          continue
        }
        let taken = min(length, 256 - open.count)
        open += repeatElement(value, count: taken)
        length -= taken
        if open.count == 256 {
          blocks.append(UInt16(values.count >> 8))
          values += open
          open.removeAll(keepingCapacity: true)
        }
      }
    }
    self.blocks = blocks
    self.values = values
  }
}

/// A map from some scalars to short sequences of scalars.
struct ScalarMap: Sendable {
  static let lowercase = ScalarMap(UnicodeMappings.lowercase)
  static let canonical = ScalarMap(UnicodeMappings.canonical)
  static let compatibility = ScalarMap(UnicodeCompatibility.decompositions)
  static let combiningClasses = ScalarMap(UnicodeMappings.combiningClasses)
  static let compositions = ScalarMap(UnicodeMappings.compositions)

  let keys: [UInt32]
  private let starts: [UInt32]
  private let scalars: [UInt32]

  private init(_ blob: String) {
    var reader = BlobReader(base64: blob)
    var keys: [UInt32] = []
    var starts: [UInt32] = [0]
    var scalars: [UInt32] = []
    var key = 0
    for _ in 0..<reader.varint() {
      key += reader.varint()
      var near = key
      for _ in 0..<reader.varint() {
        near += reader.zigzag()
        scalars.append(UInt32(near))
      }
      keys.append(UInt32(key))
      starts.append(UInt32(scalars.count))
    }
    (self.keys, self.starts, self.scalars) = (keys, starts, scalars)
  }

  /// The sequence of a scalar, or nil if it has none.
  func find(_ scalar: UInt32) -> ArraySlice<UInt32>? {
    var low = 0
    var high = keys.count
    while low < high {
      let middle = (low + high) / 2
      if keys[middle] < scalar { low = middle + 1 } else { high = middle }
    }
    guard low < keys.count, keys[low] == scalar else { return nil }
    return scalars[Int(starts[low])..<Int(starts[low + 1])]
  }
}

/// The scripts that patterns may name, as sorted ranges.
enum UnicodeScriptTables {
  static let names = [
    "Arabic", "Armenian", "Bengali", "Cyrillic", "Devanagari", "Georgian", "Greek", "Han", "Hangul", "Hebrew",
    "Hiragana", "Katakana", "Latin", "Thai",
  ]

  static let ranges: [[ClosedRange<UInt32>]] = {
    var reader = BlobReader(base64: UnicodeScripts.ranges)
    return names.map { _ in
      var last = 0
      return (0..<reader.varint()).map { _ in
        let low = last + reader.varint()
        last = low + reader.varint()
        return UInt32(low)...UInt32(last - 1)
      }
    }
  }()
}

/// Reads the generated tables; their content is ours, so nothing here can fail.
private struct BlobReader {
  private var bytes: [UInt8] = []
  private var position = 0

  init(base64: String) {
    var bits: UInt32 = 0
    var count = 0
    bytes.reserveCapacity(base64.utf8.count * 3 / 4)
    for character in base64.utf8 {
      let value: UInt8
      switch character {
      case UInt8(ascii: "A")...UInt8(ascii: "Z"): value = character - UInt8(ascii: "A")
      case UInt8(ascii: "a")...UInt8(ascii: "z"): value = character - UInt8(ascii: "a") + 26
      case UInt8(ascii: "0")...UInt8(ascii: "9"): value = character - UInt8(ascii: "0") + 52
      case UInt8(ascii: "+"): value = 62
      case UInt8(ascii: "/"): value = 63
      default: continue
      }
      bits = bits << 6 | UInt32(value)
      count += 6
      if count >= 8 {
        count -= 8
        bytes.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
      }
    }
  }

  mutating func byte() -> Int {
    defer { position += 1 }
    return Int(bytes[position])
  }

  mutating func varint() -> Int {
    var value = 0
    var shift = 0
    while true {
      let next = byte()
      value |= (next & 0x7F) << shift
      if next < 0x80 { return value }
      shift += 7
    }
  }

  mutating func zigzag() -> Int {
    let value = varint()
    return value & 1 == 0 ? value >> 1 : -(value >> 1) - 1
  }
}
