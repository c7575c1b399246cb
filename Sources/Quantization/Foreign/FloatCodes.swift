package import Tensors

/// float8 numbers with a scale for each block of rows and columns: w = scale * code, rounded to a type.
package struct FloatCodes: ForeignWeight {
  package let dtype: DType
  package let rows: Int
  package let columns: Int
  /// Rows and columns that share a scale.
  let block: (rows: Int, columns: Int)
  /// float8 [rows, columns].
  let codes: TensorStore.Entry
  /// [blocks of rows, blocks of columns], float32 or a smaller type.
  let scales: TensorStore.Entry

  package func values(_ rows: Range<Int>) throws -> [Float] {
    let bytes = try Codes(codes).rows(rows, of: columns)
    let numbers = try Tensor(codes.dtype, shape: [bytes.count], bytes: Bytes(bytes)).doubles
    let factors = try FloatTable(scales)
    let across = (columns - 1) / block.columns + 1
    return numbers.indices.map { index in
      let (row, column) = (rows.lowerBound + index / columns, index % columns)
      let factor = factors[row / block.rows * across + column / block.columns]
      return WeightCodes.round(Float(numbers[index]) * factor, to: dtype)
    }
  }

  package func agrees(with scheme: any LinearScheme) throws -> Bool {
    scheme.grid == .float8 && codes.dtype == .float8e4m3fn && block.columns == columns
  }

  package func codes(_ rows: Range<Int>) throws -> StoredCodes {
    let factors = try FloatTable(scales)
    return StoredCodes(
      codes: try Codes(codes).rows(rows, of: columns), scales: rows.map { factors[$0 / block.rows] },
      offsets: Array(repeating: 0, count: rows.count))
  }
}

/// float8 checkpoints of DeepSeek and GLM: `weight_scale_inv` for each block, or `weight_scale` for a row or all.
struct FP8Blocks: ForeignFormat {
  private let block: (rows: Int, columns: Int)?
  private let dtype: DType

  init(_ config: JSON, _ dtype: DType) throws {
    self.dtype = dtype
    guard let size = try config.optional("weight_block_size") else {
      block = nil
      return
    }
    let sizes = try size.asArray().map { try $0.asInt(in: 1...65536) }
    guard sizes.count == 2 else { throw size.mismatch("the rows and columns of a block") }
    block = (sizes[0], sizes[1])
  }

  var suffix: String { "weight" }
  var companions: [String] { ["weight_scale_inv", "weight_scale", "input_scale"] }

  func weight(_ parts: ForeignParts) throws -> any ForeignWeight {
    let codes = try parts.matrix("weight")
    let scales = try parts["weight_scale_inv"] ?? parts.entry("weight_scale")
    return try FP8Blocks.weight(parts, codes, scales, block: block, dtype)
  }

  /// float8 codes with scales of any layout that numbers of blocks tell.
  static func weight(
    _ parts: ForeignParts, _ codes: TensorStore.Entry, _ scales: TensorStore.Entry,
    block: (rows: Int, columns: Int)?, _ dtype: DType
  ) throws -> any ForeignWeight {
    let (rows, columns) = (codes.shape[0], codes.shape[1])
    let counts = scales.shape.count == 2 ? (scales.shape[0], scales.shape[1]) : (scales.shape.first ?? 1, 1)
    let found: (rows: Int, columns: Int)? =
      switch counts {
      case (1, 1): (rows, columns)
      case (rows, 1): (1, columns)
      default: block
      }
    guard rows > 0, columns > 0, scales.shape.count <= 2, let found,
      counts.0 == (rows - 1) / found.rows + 1, counts.1 == (columns - 1) / found.columns + 1,
      FloatTable.dtypes.contains(scales.dtype),
      codes.dtype == .float8e4m3fn || codes.dtype == .float8e5m2
    else { throw parts.misfit("weight \(codes.type) and its scales \(scales.type)") }
    return FloatCodes(dtype: dtype, rows: rows, columns: columns, block: found, codes: codes, scales: scales)
  }
}
