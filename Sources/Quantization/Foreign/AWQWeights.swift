internal import Tensors

/// Weights as AutoAWQ stores them for its `gemm` kernel: `qweight` [columns, rows / 8] and `qzeros` [groups, rows / 8]
/// with eight codes of 4 bits a word in the order 0, 2, 4, 6, 1, 3, 5, 7, and `scales` [groups, rows].
///
/// Source: AutoAWQ 0.2 (`packing_utils`).
struct AWQWeights: ForeignFormat {
  init(_ config: JSON) throws {
    let version = try config.optional("version")?.asString().lowercased() ?? "gemm"
    let bits = try config.optional("bits")?.asInt() ?? 4
    guard version == "gemm", bits == 4 else {
      throw BessemerError(
        .unsupportedFeature, "AWQ weights of \(bits) bits and version \(quoted(version)) are not read; gemm of 4 is")
    }
  }

  var suffix: String { "qweight" }
  var companions: [String] { ["qzeros", "scales"] }

  /// Where in its word the code of each of eight rows is.
  private static let places = [0, 4, 1, 5, 2, 6, 3, 7]

  func weight(_ parts: ForeignParts) throws -> any ForeignWeight {
    let (words, zeros, scales) = (try parts.matrix("qweight"), try parts.matrix("qzeros"), try parts.matrix("scales"))
    let (columns, groups, rows) = (words.shape[0], scales.shape[0], scales.shape[1])
    guard columns > 0, groups > 0, columns % groups == 0, rows % 8 == 0, words.shape[1] == rows / 8,
      zeros.shape == [groups, rows / 8], words.dtype == .int32, zeros.dtype == .int32,
      LinearWeight.dtypes.contains(scales.dtype)
    else { throw parts.misfit("qweight \(words.type), qzeros \(zeros.type) and scales \(scales.type)") }
    let packing = PackedWords(bits: 4)
    @Sendable func code(_ words: WordBlock, _ line: Int, _ row: Int) -> Int16 {
      packing.code(AWQWeights.places[row % 8]) { _ in words[line, row / 8] }
    }
    return WholeCodes(
      dtype: scales.dtype, rows: rows, columns: columns, bits: 4, middle: 8, groups: nil,
      groupSize: groups == 1 ? 0 : columns / groups
    ) { range in
      let own = (range.lowerBound / 8)..<((range.upperBound + 7) / 8)
      let words = try WordBlock(words, rows: 0..<columns, columns: own)
      let zeros = try WordBlock(zeros)
      let factors = try FloatTable(scales)
      var part = WholeCodes.Part(codes: Array(repeating: 0, count: range.count * columns), scales: [], zeros: [])
      for column in 0..<columns {
        for (index, row) in range.enumerated() { part.codes[index * columns + column] = code(words, column, row) }
      }
      for row in range {
        for group in 0..<groups {
          part.scales.append(factors[group * rows + row])
          part.zeros.append(code(zeros, group, row))
        }
      }
      return part
    } isSymmetric: {
      let zeros = try WordBlock(zeros)
      return (0..<groups).allSatisfy { group in (0..<rows).allSatisfy { code(zeros, group, $0) == 8 } }
    }
  }
}
