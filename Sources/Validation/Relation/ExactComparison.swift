import Tensors

/// Whether tensors hold the same elements, bit by bit.
enum ExactComparison {
  private struct Mismatch: Error {}

  /// What casts did when `expression` gives exactly the elements of `entry`, in row-major order; nil when it does not.
  /// Ends at the first difference. NaNs that a cast made are one value.
  static func losses(of expression: TensorExpression, ifEqualTo entry: TensorStore.Entry) throws -> CastLosses? {
    guard expression.dtype == entry.dtype, expression.byteCount == entry.byteCount else { return nil }
    let isCast = expression.sources.contains { $0.dtype != entry.dtype }
    var losses = CastLosses()
    func compare(_ a: Bytes, _ b: Bytes) throws {
      guard a != b, try !isCast || !isSameButNaN(a, b, entry.dtype) else { return }
      throw Mismatch()
    }
    do {
      if let window = try entry.window() {
        var position = 0
        try forEachPiece(of: TensorScan.pieceByteCount, in: { losses = try expression.forEachPiece($0) }) { piece in
          let other = window[position..<(position + piece.count)]
          try compare(piece, other)
          other.releasePages()
          position += piece.count
        }
      } else {
        try forEachPair(
          { losses = try expression.forEachPiece($0) }, of: TensorScan.pieceByteCount,
          { try entry.forEachPiece($0) }, of: TensorScan.pieceByteCount, compare)
      }
    } catch is Mismatch { return nil }
    return losses
  }

  private static func isSameButNaN(_ a: Bytes, _ b: Bytes, _ dtype: DType) throws -> Bool {
    guard dtype.isFloat, a.count == b.count else { return false }
    let count = a.count * 8 / dtype.bits
    let (x, y) = (try Tensor(dtype, shape: [count], bytes: a), try Tensor(dtype, shape: [count], bytes: b))
    return zip(x.doubles, y.doubles).allSatisfy { $0.isNaN ? $1.isNaN : $0.bitPattern == $1.bitPattern }
  }
}
