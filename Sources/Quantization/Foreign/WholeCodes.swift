package import Tensors

/// Whole numbers below 2^bits with a zero and a scale for each group of columns: w = scale * (code - zero), rounded to
/// the type of the scales.
package struct WholeCodes: ForeignWeight {
  /// Some rows as they are stored.
  package struct Part {
    /// [rows, columns].
    package var codes: [Int16]
    /// [rows, groups].
    package var scales: [Float]
    package var zeros: [Int16]
  }

  package let dtype: DType
  package let rows: Int
  package let columns: Int
  let bits: Int
  /// What a symmetric weight has for all zeros.
  let middle: Int16
  /// The group of each column; nil where groups are runs of ``groupSize``.
  let groups: [Int32]?
  /// Columns of a group; 0 when a row is one.
  let groupSize: Int
  let read: @Sendable (Range<Int>) throws -> Part
  /// Whether all zeros are ``middle``.
  let isSymmetric: @Sendable () throws -> Bool

  package func values(_ rows: Range<Int>) throws -> [Float] {
    let part = try read(rows)
    let perRow = part.scales.count / max(1, rows.count)
    var values = [Float](repeating: 0, count: part.codes.count)
    for row in 0..<rows.count {
      for column in 0..<columns {
        let group = row * perRow + (groups.map { Int($0[column]) } ?? (groupSize == 0 ? 0 : column / groupSize))
        let step = Float(Int(part.codes[row * columns + column]) - Int(part.zeros[group]))
        values[row * columns + column] = WeightCodes.round(step * part.scales[group], to: dtype)
      }
    }
    return values
  }

  package func agrees(with scheme: any LinearScheme) throws -> Bool {
    guard case .whole(let bits, true) = scheme.grid, bits == self.bits, groups == nil else { return false }
    guard scheme.groupSize == groupSize || scheme.groupSize == columns && groupSize == 0 else { return false }
    return try isSymmetric()
  }

  package func codes(_ rows: Range<Int>) throws -> StoredCodes {
    let part = try read(rows)
    return StoredCodes(
      codes: part.codes.map { UInt8(bitPattern: Int8(clamping: $0 - middle)) }, scales: part.scales,
      offsets: Array(repeating: 0, count: part.scales.count))
  }
}

/// Codes of some bits in a stream of 32-bit words, the first in the lowest bits, none left out.
struct PackedWords {
  let bits: Int

  /// Words that hold so many codes.
  func wordCount(_ codes: Int) -> Int { (codes * bits + 31) / 32 }

  /// Code `index` of the stream whose words `word` gives.
  func code(_ index: Int, _ word: (Int) -> UInt32) -> Int16 {
    let (first, shift) = (index * bits).quotientAndRemainder(dividingBy: 32)
    var value = UInt64(word(first))
    if shift + bits > 32 { value |= UInt64(word(first + 1)) << 32 }
    return Int16(truncatingIfNeeded: value >> UInt64(shift) & (1 << UInt64(bits) - 1))
  }
}
