internal import Tensors

/// Weights as AutoGPTQ and GPTQModel store them: `qweight` [columns * bits / 32, rows] packed along the inputs,
/// `qzeros` [groups, rows * bits / 32] and `scales` [groups, rows] along the outputs, `g_idx` [columns] where the order
/// of columns is not that of groups. Version 1 stores zeros less one.
///
/// Source: AutoGPTQ 0.7 (`qlinear_cuda`), GPTQModel 4 (`checkpoint_format`).
struct GPTQWeights: ForeignFormat {
  private let isV2: Bool

  init(_ config: JSON) throws {
    let format = try config.optional("checkpoint_format")?.asString() ?? "gptq"
    guard ["gptq", "gptq_v2"].contains(format) else {
      throw BessemerError(.unsupportedFeature, "GPTQ weights of the format \(quoted(format)) are not read")
    }
    isV2 = format == "gptq_v2"
  }

  var suffix: String { "qweight" }
  var companions: [String] { ["qzeros", "scales", "g_idx"] }

  func weight(_ parts: ForeignParts) throws -> any ForeignWeight {
    let (words, zeros, scales) = (try parts.matrix("qweight"), try parts.matrix("qzeros"), try parts.matrix("scales"))
    let (groups, rows) = (scales.shape[0], scales.shape[1])
    let order = parts["g_idx"]
    // The width that the packing of zeros has.
    let bits = [2, 3, 4, 8].first { rows * $0 == zeros.shape[1] * 32 }
    let columns = bits.map { words.shape[0] * 32 / $0 } ?? 0
    guard let bits, groups > 0, columns > 0, words.shape[1] == rows, zeros.shape[0] == groups,
      PackedWords(bits: bits).wordCount(columns) == words.shape[0],
      order.map({ $0.shape == [columns] && $0.dtype == .int32 }) ?? (columns % groups == 0),
      words.dtype == .int32, zeros.dtype == .int32, LinearWeight.dtypes.contains(scales.dtype)
    else { throw parts.misfit("qweight \(words.type), qzeros \(zeros.type) and scales \(scales.type)") }
    let size = columns % groups == 0 ? columns / groups : columns
    let indices = try order.map { try parts.groups($0, count: groups) }
    let isPlain = indices.map { $0 == (0..<columns).map { Int32($0 / size) } && columns % groups == 0 } ?? true
    let packing = PackedWords(bits: bits)
    let add = Int16(isV2 ? 0 : 1)
    let middle = Int16(1 << (bits - 1))
    return WholeCodes(
      dtype: scales.dtype, rows: rows, columns: columns, bits: bits, middle: middle, groups: isPlain ? nil : indices,
      groupSize: groups == 1 ? 0 : size
    ) { range in
      let words = try WordBlock(words, rows: 0..<words.shape[0], columns: range)
      let zeros = try WordBlock(zeros)
      let factors = try FloatTable(scales)
      var part = WholeCodes.Part(codes: Array(repeating: 0, count: range.count * columns), scales: [], zeros: [])
      for column in 0..<columns {
        for (index, row) in range.enumerated() {
          part.codes[index * columns + column] = packing.code(column) { words[$0, row] }
        }
      }
      for row in range {
        for group in 0..<groups {
          part.scales.append(factors[group * rows + row])
          part.zeros.append(packing.code(row) { zeros[group, $0] } + add)
        }
      }
      return part
    } isSymmetric: {
      let zeros = try WordBlock(zeros)
      return (0..<groups).allSatisfy { group in
        (0..<rows).allSatisfy { row in packing.code(row) { zeros[group, $0] } + add == middle }
      }
    }
  }
}
