import CKernels
import Tensors

/// How the elements of two tensors of the same size differ, one by one in row-major order.
public struct TensorDifference: Sendable {
  private var sums = bk_difference()
  public private(set) var elementCount = 0
  /// Elements whose bits differ; of two types, whose values do, where NaNs are one value.
  public private(set) var changedCount = 0

  /// The largest difference of two finite elements.
  public var largest: Double { sums.largest }
  /// The mean difference of all pairs of finite elements.
  public var mean: Double { sums.finite > 0 ? sums.sum / Double(sums.finite) : 0 }
  /// The cosine of the angle between the finite elements of both as vectors; 1 when both are zero.
  public var cosine: Double {
    if sums.aa == 0 && sums.bb == 0 { return 1 }
    return sums.aa == 0 || sums.bb == 0 ? 0 : max(-1, min(1, sums.ab / (sums.aa * sums.bb).squareRoot()))
  }
  /// Pairs of different elements that are not both finite numbers.
  public var nonFiniteCount: Int { Int(sums.mismatched) }

  /// Elements that are compared at a time; they take whole bytes in every type.
  private static let pieceElementCount = 1 << 17

  /// Compares all elements of `a` with those of `b`, which are as many.
  init(_ a: TensorExpression, _ b: TensorStore.Entry) throws {
    let (x, y) = (Numbers(a.dtype), Numbers(b.dtype))
    let sizes = [a.dtype, b.dtype].map { TensorDifference.pieceElementCount * $0.bits / 8 }
    if let window = try b.window() {
      var position = 0
      try forEachPiece(of: sizes[0], in: { try a.forEachPiece($0) }) { piece in
        let other = window[position..<min(position + sizes[1], window.count)]
        try add(piece, x, a.dtype, other, y, b.dtype)
        other.releasePages()
        position += other.count
      }
    } else {
      try forEachPair({ try a.forEachPiece($0) }, of: sizes[0], { try b.forEachPiece($0) }, of: sizes[1]) {
        try add($0, x, a.dtype, $1, y, b.dtype)
      }
    }
  }

  private mutating func add(
    _ a: Bytes, _ x: Numbers, _ aType: DType, _ b: Bytes, _ y: Numbers, _ bType: DType
  ) throws {
    var part = bk_difference()
    try x.with(a) { aKind, aTable, aBase, aCount in
      try y.with(b) { bKind, bTable, bBase, bCount in
        guard aCount == bCount else { throw BessemerError(.tensorLayout, "tensors of different sizes are compared") }
        // Both hold `aCount` numbers of their kind.
        if let aBase, let bBase { bk_compare(aKind, aTable, aBase, bKind, bTable, bBase, aCount, &part) }
      }
    }
    elementCount += a.count * 8 / aType.bits
    changedCount +=
      aType == bType && aType.bits >= 8 ? TensorDifference.unequal(a, b, aType.bits / 8) : Int(part.unequal)
    withUnsafePointer(to: part) { bk_difference_add(&sums, $0) }
  }

  private static func unequal(_ a: Bytes, _ b: Bytes, _ size: Int) -> Int {
    a.withUnsafeBytes { x in
      b.withUnsafeBytes { y in
        // Both are as long.
        x.isEmpty ? 0 : bk_unequal(size, x.baseAddress, y.baseAddress, x.count / size)
      }
    }
  }
}
