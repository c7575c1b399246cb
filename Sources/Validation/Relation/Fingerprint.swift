import CKernels
import Tensors

/// What the elements of a tensor come to whatever their order: the sum of words mixed from their bits. Fingerprints of
/// parts add up to that of the whole.
struct Fingerprint: Hashable, Sendable {
  /// Two sums modulo 2^32, the second one in the upper half.
  var sums: UInt64

  init(sums: UInt64 = 0) { self.sums = sums }

  static func + (a: Fingerprint, b: Fingerprint) -> Fingerprint {
    let high = (a.sums >> 32 &+ b.sums >> 32) << 32
    return Fingerprint(sums: high | (a.sums &+ b.sums) & 0xFFFF_FFFF)
  }

  static func - (a: Fingerprint, b: Fingerprint) -> Fingerprint {
    let high = (a.sums >> 32 &- b.sums >> 32) << 32
    return Fingerprint(sums: high | (a.sums &- b.sums) & 0xFFFF_FFFF)
  }
}

/// Reads elements of one type as those of another, and takes fingerprints of them.
struct Fingerprinter: Sendable {
  let from: DType
  let to: DType

  /// Whether a tensor of type `from` may have become one of type `to`.
  static func canCast(_ from: DType, to: DType) -> Bool {
    from == to || from.isFloat && to.isFloat || from.isInteger && to.isInteger && from.bits >= 8 && to.bits >= 8
  }

  /// The fingerprints of `rows` rows that a piece consists of. Those of the columns are added to `columnSums`, of two
  /// words for each, unless it is empty.
  func rows(_ piece: Bytes, rows: Int, columnSums: inout [UInt32]) throws -> [Fingerprint] {
    let count = piece.count * 8 / from.bits
    guard rows > 0, count > 0 else { return Array(repeating: Fingerprint(), count: rows) }
    // Elements below a byte are taken by value, complex ones as two numbers.
    var cells = piece
    if from != to { cells = try Tensor(from, shape: [count], bytes: piece).cast(to: to).bytes }
    if to.bits < 8 { cells = try Tensor(to, shape: [count], bytes: cells).doubles.withUnsafeBytes { Bytes($0) } }
    let size = to.bits < 8 ? 8 : min(to.bits / 8, 8)
    let columns = count / rows * (to.bits > 64 ? 2 : 1)
    precondition(columnSums.isEmpty || columnSums.count == 2 * columns)
    var sums = [UInt64](repeating: 0, count: rows)
    cells.withUnsafeBytes { raw in
      columnSums.withUnsafeMutableBufferPointer { words in
        // The cells are `rows` rows of `columns` elements of `size` bytes, and there are two words for each column.
        _ = bk_fingerprint(size, raw.baseAddress, rows, columns, &sums, words.isEmpty ? nil : words.baseAddress)
      }
    }
    return sums.map { Fingerprint(sums: $0) }
  }

  func whole(_ piece: Bytes) throws -> Fingerprint {
    var none: [UInt32] = []
    return try rows(piece, rows: 1, columnSums: &none)[0]
  }
}

extension TensorScan {
  /// The fingerprints of tensors, each as if it were cast to each of some types; tensors are read once.
  func fingerprints(
    _ entries: [TensorStore.Entry], as types: [[DType]]
  ) throws -> [[DType: Fingerprint]] {
    var result: [[DType: Fingerprint]] = []
    result.reserveCapacity(entries.count)
    try run(entries) { index, piece in
      try types[index].map { try Fingerprinter(from: entries[index].dtype, to: $0).whole(piece) }
    } reduce: { index, parts in
      var sums: [DType: Fingerprint] = [:]
      for (k, type) in types[index].enumerated() {
        sums[type] = parts.reduce(Fingerprint()) { $0 + $1[k] }
      }
      result.append(sums)
    }
    return result
  }
}

/// The fingerprints of all slices of a tensor along each of its axes.
struct SliceFingerprints: Sendable {
  /// By axis and index.
  private(set) var axes: [[Fingerprint]]

  /// Rows of more bytes are not taken apart.
  private static let maximumRowByteCount = 64 << 20
  /// The most slices of a tensor.
  private static let maximumSliceCount = 1 << 24

  /// Reads all elements. Nil when there is no dimension, or rows are too long.
  init?(_ expression: TensorExpression) throws {
    let (shape, dtype) = (expression.shape, expression.dtype)
    guard let columns = shape.last, columns > 0, let byteCount = expression.byteCount, byteCount > 0,
      shape.allSatisfy({ $0 <= SliceFingerprints.maximumSliceCount }),
      // The rows of a vector are its elements.
      let rowByteCount = dtype.byteCount(of: shape.count == 1 ? 1 : columns),
      rowByteCount <= SliceFingerprints.maximumRowByteCount
    else { return nil }
    let isVector = shape.count == 1
    let leading = isVector ? shape : Array(shape.dropLast())
    axes = leading.map { Array(repeating: Fingerprint(), count: $0) }
    var columnSums = isVector ? [] : [UInt32](repeating: 0, count: 2 * columns * (dtype.bits > 64 ? 2 : 1))
    let printer = Fingerprinter(from: dtype, to: dtype)
    var row = 0
    let size = max(1, TensorScan.pieceByteCount / rowByteCount) * rowByteCount
    try forEachPiece(of: size, in: { try expression.forEachPiece($0) }) { piece in
      let count = piece.count / rowByteCount
      for sum in try printer.rows(piece, rows: count, columnSums: &columnSums) {
        var rest = row
        for axis in leading.indices.reversed() {
          let (next, index) = rest.quotientAndRemainder(dividingBy: leading[axis])
          axes[axis][index] = axes[axis][index] + sum
          rest = next
        }
        row += 1
      }
    }
    guard !isVector else { return }
    let width = columnSums.count / 2
    axes.append(
      (0..<columns).map { column in
        (0..<(width / columns)).reduce(Fingerprint()) { sum, part in
          let k = column * (width / columns) + part
          return sum + Fingerprint(sums: UInt64(columnSums[width + k]) << 32 | UInt64(columnSums[k]))
        }
      })
  }

  /// The fingerprints of the slices before each index of an axis, and of all.
  func sums(_ axis: Int) -> [Fingerprint] {
    var total = Fingerprint()
    return [total]
      + axes[axis].map {
        total = total + $0
        return total
      }
  }
}
