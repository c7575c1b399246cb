/// The four Unicode normalization forms, with the data of the library's version.
enum NormalizationForm: Sendable {
  case nfc, nfd, nfkc, nfkd

  /// The normalized text.
  func apply(_ bytes: [UInt8]) -> [UInt8] {
    // Below U+0080 nothing changes, below U+0300 nothing changes under NFC.
    let limit: UInt8 = self == .nfc ? 0xCC : 0x80
    if bytes.allSatisfy({ $0 < limit }) { return bytes }
    var scalars = decomposed(bytes)
    if self == .nfc || self == .nfkc { Self.compose(&scalars) }
    var result: [UInt8] = []
    result.reserveCapacity(bytes.count + bytes.count / 8)
    for scalar in scalars { UTF8Text.append(scalar, to: &result) }
    return result
  }

  private func decomposed(_ bytes: [UInt8]) -> [UInt32] {
    let tables = UnicodeTables.shared
    let isCompatible = self == .nfkc || self == .nfkd
    var out: [UInt32] = []
    out.reserveCapacity(bytes.count)
    /// Where the marks start that are not in order yet.
    var marks = 0
    UTF8Text.forEach(bytes.span) { scalar, _ in
      if scalar < 0x80 {
        Self.sortMarks(&out, from: marks)
        out.append(scalar)
        marks = out.count
        return
      }
      let properties = tables[scalar]
      if let parts = Hangul.decomposition(scalar) {
        Self.sortMarks(&out, from: marks)
        out += parts
        marks = out.count
      } else if isCompatible && properties.hasCompatibilityDecomposition,
        let parts = ScalarMap.compatibility.find(scalar) ?? ScalarMap.canonical.find(scalar)
      {
        for part in parts { Self.insert(part, into: &out, marks: &marks) }
      } else if properties.hasCanonicalDecomposition, let parts = ScalarMap.canonical.find(scalar) {
        for part in parts { Self.insert(part, into: &out, marks: &marks) }
      } else {
        Self.insert(scalar, into: &out, marks: &marks)
      }
    }
    Self.sortMarks(&out, from: marks)
    return out
  }

  private static func insert(_ scalar: UInt32, into out: inout [UInt32], marks: inout Int) {
    if combiningClass(scalar) == 0 {
      sortMarks(&out, from: marks)
      out.append(scalar)
      marks = out.count
    } else {
      out.append(scalar)
    }
  }

  /// Puts the marks at the end into canonical order; the order of marks of one class is kept.
  private static func sortMarks(_ out: inout [UInt32], from start: Int) {
    guard out.count - start > 1 else { return }
    let sorted = out[start...].enumerated().map {
      (key: combiningClass($0.element), order: $0.offset, scalar: $0.element)
    }
    .sorted { ($0.key, $0.order) < ($1.key, $1.order) }
    for (index, entry) in sorted.enumerated() { out[start + index] = entry.scalar }
  }

  private static func combiningClass(_ scalar: UInt32) -> UInt32 {
    scalar < 0x300 ? 0 : ScalarMap.combiningClasses.find(scalar)?.first ?? 0
  }

  /// Primary composites by their two parts.
  private static let pairs: [UInt64: UInt32] = {
    var pairs: [UInt64: UInt32] = [:]
    for key in ScalarMap.compositions.keys {
      if let parts = ScalarMap.compositions.find(key), let first = parts.first, let second = parts.last {
        pairs[UInt64(first) << 32 | UInt64(second)] = key
      }
    }
    return pairs
  }()

  private static func compose(_ scalars: inout [UInt32]) {
    var written = 0
    var starter = -1
    var lastClass: UInt32 = 0
    for scalar in scalars {
      let scalarClass = combiningClass(scalar)
      // A scalar is blocked from the starter by one of the same or a higher class in between.
      if starter >= 0, written - 1 == starter || (lastClass < scalarClass && lastClass != 0) {
        let first = scalars[starter]
        if let composite = Hangul.composition(first, scalar) ?? pairs[UInt64(first) << 32 | UInt64(scalar)] {
          scalars[starter] = composite
          continue
        }
      }
      if scalarClass == 0 { starter = written }
      lastClass = scalarClass
      scalars[written] = scalar
      written += 1
    }
    scalars.removeLast(scalars.count - written)
  }
}

/// The arithmetic of Hangul syllables (Unicode, section 3.12).
private enum Hangul {
  private static let syllables: UInt32 = 0xAC00
  private static let leading: UInt32 = 0x1100
  private static let vowels: UInt32 = 0x1161
  private static let trailing: UInt32 = 0x11A7

  static func decomposition(_ scalar: UInt32) -> [UInt32]? {
    guard scalar >= syllables, scalar < syllables + 11172 else { return nil }
    let index = scalar - syllables
    let parts = [leading + index / 588, vowels + index % 588 / 28]
    return index % 28 == 0 ? parts : parts + [trailing + index % 28]
  }

  static func composition(_ first: UInt32, _ second: UInt32) -> UInt32? {
    if first >= leading, first < leading + 19, second >= vowels, second < vowels + 21 {
      return syllables + ((first - leading) * 21 + (second - vowels)) * 28
    }
    if first >= syllables, first < syllables + 11172, (first - syllables) % 28 == 0, second > trailing,
      second < trailing + 28
    {
      return first + (second - trailing)
    }
    return nil
  }
}
