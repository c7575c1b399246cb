import CKernels
import Tensors

/// What the values of a tensor come to. Counts are exact; 64-bit integers are read as doubles, complex numbers as two
/// numbers each.
public struct TensorStatistics: Sendable {
  private var summary = bk_summary()

  init(_ pieces: [TensorStatistics] = []) {
    summary.least = .infinity
    summary.greatest = -.infinity
    for piece in pieces { withUnsafePointer(to: piece.summary) { bk_summary_add(&summary, $0) } }
  }

  /// Those of a piece that holds whole elements.
  init(_ numbers: Numbers, _ piece: Bytes) throws {
    try numbers.with(piece) { kind, table, base, count in
      if let base { bk_summarize(kind, table, base, count, &summary) }
    }
  }

  /// Numbers that are neither infinite nor NaN.
  public var finiteCount: Int { Int(summary.finite) }
  /// Zeros of either sign.
  public var zeroCount: Int { Int(summary.zeros) }
  public var nanCount: Int { Int(summary.nans) }
  /// Infinities of either sign.
  public var infinityCount: Int { Int(summary.infinities + summary.negative_infinities) }
  /// The least finite number; nil when there is none.
  public var least: Double? { finiteCount > 0 ? summary.least : nil }
  public var greatest: Double? { finiteCount > 0 ? summary.greatest : nil }
  public var mean: Double? { finiteCount > 0 ? summary.mean : nil }
  /// The standard deviation of the finite numbers, all of which are known: the root of the mean squared difference from
  /// the mean.
  public var deviation: Double? { finiteCount > 0 ? (summary.squares / Double(finiteCount)).squareRoot() : nil }
}
