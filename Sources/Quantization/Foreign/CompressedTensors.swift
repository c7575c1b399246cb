internal import Tensors

/// Weights as llm-compressor stores them: `weight_packed` in words along the inputs with its `weight_shape`, or
/// `weight` of int8 or float8; scales [rows, groups], and zeros where they are not symmetric.
///
/// Source: compressed-tensors 0.12.
struct CompressedTensors: ForeignFormat {
  let suffix: String
  private let isPacked: Bool
  /// The bits that codes may have.
  private let bits: [Int]
  private let block: (rows: Int, columns: Int)?

  /// One for each layout of weights that the configuration names.
  static func formats(_ config: JSON) throws -> [CompressedTensors] {
    var names: Set<String> = []
    if let name = try config.optional("format")?.asString() { names.insert(name) }
    var bits: [Int] = []
    var block: (rows: Int, columns: Int)?
    for (_, group) in try config.optional("config_groups")?.asObject().map({ $0 }) ?? [] {
      if let name = try group.optional("format")?.asString() { names.insert(name) }
      if let count = try group.optional("weights")?.optional("num_bits")?.asInt(in: 1...32) { bits.append(count) }
      let structure = try group.optional("weights")?.optional("block_structure")?.asArray().map { try $0.asInt() }
      if let structure, structure.count == 2, structure.allSatisfy({ (1...65536).contains($0) }) {
        block = (structure[0], structure[1])
      }
    }
    names.remove("mixed-precision")
    let known = ["dense", "pack-quantized", "int-quantized", "float-quantized", "naive-quantized"]
    if let odd = names.sorted().first(where: { !known.contains($0) }) {
      throw BessemerError(
        .unsupportedFeature, "compressed-tensors of the format \(quoted(odd)) are not read; known: \(known)")
    }
    var formats: [CompressedTensors] = []
    if names.contains("pack-quantized") {
      formats.append(CompressedTensors(suffix: "weight_packed", isPacked: true, bits: bits, block: block))
    }
    if names.contains(where: { $0 != "pack-quantized" && $0 != "dense" }) {
      formats.append(CompressedTensors(suffix: "weight", isPacked: false, bits: bits, block: block))
    }
    return formats
  }

  var companions: [String] {
    [
      "weight_scale", "weight_zero_point", "weight_g_idx", "weight_shape", "input_scale", "input_zero_point",
      "output_scale", "output_zero_point",
    ]
  }

  func weight(_ parts: ForeignParts) throws -> any ForeignWeight {
    let (codes, scales) = (try parts.matrix(suffix), try parts.entry("weight_scale"))
    guard !isPacked else { return try packed(parts, codes, scales) }
    guard codes.dtype == .int8 else {
      return try FP8Blocks.weight(parts, codes, scales, block: block, scales.dtype)
    }
    return try whole(parts, scales, rows: codes.shape[0], columns: codes.shape[1], bits: 8) { rows in
      try Codes(codes).rows(rows, of: codes.shape[1]).map { Int16(Int8(bitPattern: $0)) }
    }
  }

  private func packed(
    _ parts: ForeignParts, _ words: TensorStore.Entry, _ scales: TensorStore.Entry
  ) throws -> any ForeignWeight {
    let shape = try parts.entry("weight_shape").tensor().doubles
    guard shape.count == 2, shape.allSatisfy({ $0 >= 1 && $0 < 1e9 }), words.dtype == .int32,
      words.shape[0] == Int(shape[0]),
      let bits = bits.first(where: { $0 <= 8 && PackedWords(bits: $0).wordCount(Int(shape[1])) == words.shape[1] })
    else { throw parts.misfit("weight_packed \(words.type) and weight_shape \(shape)") }
    let (columns, packing) = (Int(shape[1]), PackedWords(bits: bits))
    let half = Int16(1 << (bits - 1))
    return try whole(parts, scales, rows: words.shape[0], columns: columns, bits: bits) { rows in
      let all = try WordBlock(words, rows: rows, columns: 0..<words.shape[1])
      return rows.flatMap { row in (0..<columns).map { packing.code($0) { all[row, $0] } - half } }
    }
  }

  /// Codes with the scales and zeros of their groups.
  private func whole(
    _ parts: ForeignParts, _ scales: TensorStore.Entry, rows: Int, columns: Int, bits: Int,
    _ read: @escaping @Sendable (Range<Int>) throws -> [Int16]
  ) throws -> any ForeignWeight {
    let count = Tensor.elementCount(of: scales.shape) ?? 0
    let isShared = count == 1
    let groups = isShared ? 1 : scales.shape.count == 2 ? scales.shape[1] : 1
    let order = parts["weight_g_idx"]
    guard rows > 0, columns > 0, groups > 0, isShared || count == rows * groups && scales.shape[0] == rows,
      columns % groups == 0, LinearWeight.dtypes.contains(scales.dtype),
      order.map({ $0.shape == [columns] && $0.dtype.isInteger }) ?? true
    else { throw parts.misfit("\(rows) x \(columns) codes and scales \(scales.type)") }
    let zeros = try parts["weight_zero_point"].map { try self.zeros($0, parts, rows: rows, groups: groups, bits: bits) }
    let size = columns / groups
    // A weight that was not reordered may have -1 for all groups.
    var indices = try order.map { $0.dtype.isInteger ? try $0.tensor().doubles : [] }
    if indices?.allSatisfy({ $0 == -1 }) ?? false { indices = nil }
    if let indices, !indices.allSatisfy({ $0 >= 0 && $0 < Double(groups) }) {
      throw BessemerError(.weights, "a group of layer \(quoted(parts.module)) is not among its \(groups)")
    }
    let plain = (0..<columns).map { Double($0 / size) }
    return WholeCodes(
      dtype: scales.dtype, rows: rows, columns: columns, bits: bits, middle: 0,
      groups: indices == plain ? nil : indices?.map { Int32($0) }, groupSize: groups == 1 ? 0 : size
    ) { range in
      let factors = try FloatTable(scales)
      let own = range.flatMap { row in (0..<groups).map { isShared ? 0 : row * groups + $0 } }
      return WholeCodes.Part(
        codes: try read(range), scales: own.map { factors[$0] }, zeros: try zeros?(range) ?? own.map { _ in 0 })
    } isSymmetric: {
      try zeros?(0..<rows).allSatisfy { $0 == 0 } ?? true
    }
  }

  /// Zeros [rows, groups]: int8, or packed in words along the outputs.
  private func zeros(
    _ entry: TensorStore.Entry, _ parts: ForeignParts, rows: Int, groups: Int, bits: Int
  ) throws -> @Sendable (Range<Int>) throws -> [Int16] {
    let count = Tensor.elementCount(of: entry.shape) ?? 0
    if entry.dtype == .int32, isPacked {
      let packing = PackedWords(bits: bits)
      guard entry.shape == [packing.wordCount(rows), groups] else { throw parts.misfit("zeros \(entry.type)") }
      return { range in
        let words = try WordBlock(entry)
        return range.flatMap { row in
          (0..<groups).map { group in packing.code(row) { words[$0, group] } - Int16(1 << (bits - 1)) }
        }
      }
    }
    guard count == rows * groups || count == 1, entry.dtype.isInteger else { throw parts.misfit("zeros \(entry.type)") }
    return { range in
      let values = try entry.tensor().doubles
      return range.flatMap { row in
        (0..<groups).map { Int16(max(-128, min(255, values[count == 1 ? 0 : row * groups + $0]))) }
      }
    }
  }
}
