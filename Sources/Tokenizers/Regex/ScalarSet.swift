/// A set of scalars as a pattern writes it: `a`, `[^\s\p{L}]`, `[a-z&&[^x]]`.
struct ScalarSet: Sendable {
  /// One member of a set; the set is their union.
  indirect enum Item: Sendable {
    case range(ClosedRange<UInt32>)
    /// A mask of general categories, by number.
    case categories(UInt32)
    case space
    case word
    /// An index into ``UnicodeScriptTables``.
    case script(Int)
    case set(ScalarSet)
    /// What all of these have in common.
    case intersection([ScalarSet])
  }

  private let items: [Item]
  private let isNegated: Bool
  /// The answer for the scalars below 128.
  private let asciiLow: UInt64
  private let asciiHigh: UInt64

  init(_ items: [Item], isNegated: Bool = false) {
    self.items = items
    self.isNegated = isNegated
    var low: UInt64 = 0
    var high: UInt64 = 0
    let tables = UnicodeTables.shared
    for scalar in UInt32(0)..<128 where Self.matches(items, scalar, tables) != isNegated {
      if scalar < 64 { low |= 1 << UInt64(scalar) } else { high |= 1 << UInt64(scalar - 64) }
    }
    (asciiLow, asciiHigh) = (low, high)
  }

  @inline(__always)
  func contains(_ scalar: UInt32, _ tables: UnicodeTables) -> Bool {
    if scalar < 128 { return (scalar < 64 ? asciiLow >> UInt64(scalar) : asciiHigh >> UInt64(scalar - 64)) & 1 != 0 }
    return Self.matches(items, scalar, tables) != isNegated
  }

  private static func matches(_ items: [Item], _ scalar: UInt32, _ tables: UnicodeTables) -> Bool {
    for item in items {
      let hit =
        switch item {
        case .range(let range): range.contains(scalar)
        case .categories(let mask): mask >> UInt32(tables[scalar].category) & 1 != 0
        case .space: tables[scalar].isSpace
        case .word: tables[scalar].isWord
        case .script(let index): contains(UnicodeScriptTables.ranges[index], scalar)
        case .set(let set): matches(set.items, scalar, tables) != set.isNegated
        case .intersection(let sets): sets.allSatisfy { matches($0.items, scalar, tables) != $0.isNegated }
        }
      if hit { return true }
    }
    return false
  }

  private static func contains(_ ranges: [ClosedRange<UInt32>], _ scalar: UInt32) -> Bool {
    var low = 0
    var high = ranges.count
    while low < high {
      let middle = (low + high) / 2
      if ranges[middle].upperBound < scalar { low = middle + 1 } else { high = middle }
    }
    return low < ranges.count && ranges[low].contains(scalar)
  }

  /// What `\p{NAME}` means, or nil if the name is not known.
  static func property(_ name: String) -> Item? {
    let wanted = name.filter { $0 != "_" && $0 != " " && $0 != "-" }.lowercased()
    let long = [
      "letter": "l", "mark": "m", "number": "n", "punctuation": "p", "punct": "p", "symbol": "s", "separator": "z",
      "other": "c", "uppercaseletter": "lu", "lowercaseletter": "ll", "titlecaseletter": "lt", "modifierletter": "lm",
      "otherletter": "lo", "nonspacingmark": "mn", "spacingmark": "mc", "enclosingmark": "me", "decimalnumber": "nd",
      "letternumber": "nl", "othernumber": "no",
    ]
    switch wanted {
    case "any": return .range(0...0x10FFFF)
    case "space", "whitespace": return .space
    case "word": return .word
    default: break
    }
    let short = long[wanted] ?? wanted
    var mask: UInt32 = 0
    for (number, category) in UnicodeTables.categoryNames.enumerated() {
      let category = category.lowercased()
      if category == short || (short.utf8.count == 1 && category.hasPrefix(short)) { mask |= 1 << UInt32(number) }
    }
    if mask != 0 { return .categories(mask) }
    return UnicodeScriptTables.names.firstIndex { $0.lowercased() == wanted }.map { .script($0) }
  }

  /// The members that ignoring case adds to a range: the other case of ASCII letters, and the two scalars beyond ASCII
  /// that fold to one (U+017F for s, U+212A for k).
  static func caseVariants(_ range: ClosedRange<UInt32>) -> [Item] {
    var items: [Item] = [.range(range)]
    for letter in UInt32(0x61)...0x7A where range.contains(letter) || range.contains(letter - 32) {
      items += [.range(letter...letter), .range(letter - 32...letter - 32)]
      if letter == 0x73 { items.append(.range(0x17F...0x17F)) }
      if letter == 0x6B { items.append(.range(0x212A...0x212A)) }
    }
    return items
  }
}
