/// What casts did to values: how many changed and how, and by how much.
public struct CastLosses: Sendable, Equatable {
  /// The two types of a cast.
  public struct Types: Hashable, Sendable, Comparable {
    public let from: DType
    public let to: DType

    public init(from: DType, to: DType) {
      self.from = from
      self.to = to
    }

    public static func < (a: Types, b: Types) -> Bool {
      (a.from.rawValue, a.to.rawValue) < (b.from.rawValue, b.to.rawValue)
    }
  }

  /// Values of one pair of types.
  public struct Count: Sendable, Equatable {
    /// Values that were cast.
    public var examined = 0
    /// Values that are not the same afterwards; NaNs stay NaNs.
    public var changed = 0
    /// Finite values that became infinite, or NaN where the type has no infinity, or wrapped around.
    public var overflowed = 0
    /// Numbers that became zero.
    public var underflowed = 0
    /// Values that were no numbers before.
    public var nanCount = 0
    /// The errors of numbers that stayed finite, in units of 2^-24 ulp: the largest, and the sum. An ulp is the step
    /// between neighbours of the new type at the old value; of a whole number it is 1.
    var largestUnits: UInt64 = 0
    var unitSum: UInt64 = 0

    public init(examined: Int = 0, changed: Int = 0, overflowed: Int = 0) {
      self.examined = examined
      self.changed = changed
      self.overflowed = overflowed
    }

    /// Whether a value changed.
    public var isLossy: Bool { changed > 0 }
    /// The largest error of a number that stayed finite, in ulp.
    public var largestError: Double { Double(largestUnits) / Count.unitsPerUlp }
    /// The error of all values in the mean, in ulp.
    public var meanError: Double { examined > 0 ? Double(unitSum) / Count.unitsPerUlp / Double(examined) : 0 }

    /// All counts, for ``init(numbers:)``.
    package var numbers: [Int] {
      [examined, changed, overflowed, underflowed, nanCount, Int(clamping: largestUnits), Int(clamping: unitSum)]
    }

    /// Nil unless the numbers are as many as ``numbers``.
    package init?(numbers: [Int]) {
      guard numbers.count == 7, numbers.allSatisfy({ $0 >= 0 }) else { return nil }
      self.init(examined: numbers[0], changed: numbers[1], overflowed: numbers[2])
      (underflowed, nanCount) = (numbers[3], numbers[4])
      (largestUnits, unitSum) = (UInt64(numbers[5]), UInt64(numbers[6]))
    }

    static let unitsPerUlp = 16_777_216.0

    public static func += (a: inout Count, b: Count) {
      a.examined += b.examined
      a.changed += b.changed
      a.overflowed += b.overflowed
      a.underflowed += b.underflowed
      a.nanCount += b.nanCount
      a.largestUnits = max(a.largestUnits, b.largestUnits)
      a.unitSum = a.unitSum.addingReportingOverflow(b.unitSum).overflow ? .max : a.unitSum + b.unitSum
    }
  }

  /// By pair of types, only of casts that can change a value.
  public private(set) var counts: [Types: Count] = [:]

  public init() {}

  public static func += (a: inout CastLosses, b: CastLosses) {
    for (types, count) in b.counts { a.counts[types, default: Count()] += count }
  }

  /// All pairs of types together.
  public var total: Count { counts.values.reduce(into: Count()) { $0 += $1 } }

  /// Whether each value of `from` is one of `to`.
  public static func isExact(from: DType, to: DType) -> Bool {
    switch (from, to) {
    case _ where from == to || from == .bool: true
    case (_, .float64): from.isFloat || from.isInteger && from.bits <= 32
    case (_, .float32): from.bits <= 16 && (from.isFloat || from.isInteger)
    case (_, .bfloat16), (_, .float16):
      from.bits <= 8 && (from.isFloat || from.isInteger) && (from, to) != (.float8e8m0, .float16)
    default:
      if let a = from.integerRange, let b = to.integerRange {
        b.least <= a.least && a.greatest <= b.greatest
      } else {
        false
      }
    }
  }

  /// Casts `count` values, see ``Tensor/cast(to:)``, and notes what became of them. Each is a byte at least, of types
  /// below a byte too.
  ///
  /// Unsafe: `source` holds that many cells of `from`, `target` has room for as many of `to`.
  mutating func cast(
    _ source: UnsafeRawPointer, _ from: DType, to target: UnsafeMutableRawPointer, _ to: DType, count: Int
  ) throws {
    let input = UnsafeRawBufferPointer(start: source, count: count * from.cellByteCount)
    let output = UnsafeMutableRawBufferPointer(start: target, count: count * to.cellByteCount)
    let isExact = CastLosses.isExact(from: from, to: to)
    if BulkConversion.exists(from: from, to: to) {
      let result = BulkConversion.convert(input, from, to: output, to, count: count)
      if !isExact { counts[Types(from: from, to: to), default: Count()] += result }
      return
    }
    if let table = try TableConversion.table(from: from, to: to) {
      TableConversion.convert(source, to: target, to, count: count, table: table)
    } else {
      try Tensor(cells: input, from).cast(to: to).copyCells(to: output)
    }
    guard !isExact, count > 0 else { return }
    let (before, after) = (try Tensor(cells: input, from), try Tensor(cells: UnsafeRawBufferPointer(output), to))
    var result = Count(examined: count)
    if from.isInteger, to.isInteger || to == .bool {
      for (x, y) in zip(before.integers, after.integers) where x != y {
        result.changed += 1
        if to.isInteger { result.overflowed += 1 }
      }
    } else {
      let ulp = UlpScale(to)
      for (x, y) in zip(before.doubles, after.doubles) { result.note(x, y, ulp) }
    }
    counts[Types(from: from, to: to), default: Count()] += result
  }
}

extension CastLosses.Count {
  /// Notes one value before and after.
  fileprivate mutating func note(_ x: Double, _ y: Double, _ ulp: UlpScale) {
    guard !x.isNaN else { return nanCount += 1 }
    guard x != y else { return }
    changed += 1
    guard x.isFinite, y.isFinite else { return overflowed += x.isFinite ? 1 : 0 }
    if y == 0 { underflowed += 1 }
    let units = UInt64(min((x - y).magnitude / ulp.at(x) * CastLosses.Count.unitsPerUlp, 0x1p62))
    largestUnits = max(largestUnits, units)
    unitSum = unitSum.addingReportingOverflow(units).overflow ? .max : unitSum + units
  }
}

/// The step between neighbouring values of a type.
struct UlpScale {
  private let fractionBits: Int
  private let leastExponent: Int
  private let isWhole: Bool

  init(_ dtype: DType) {
    isWhole = !dtype.isFloat
    switch dtype {
    case .float64: (fractionBits, leastExponent) = (52, -1022)
    case .float32: (fractionBits, leastExponent) = (23, -126)
    case .float8e8m0: (fractionBits, leastExponent) = (0, -127)
    case .hifloat8: (fractionBits, leastExponent) = (3, -22)
    default:
      let format = FloatFormat(dtype)
      (fractionBits, leastExponent) = (format?.fractionBits ?? 0, 1 - (format?.bias ?? 0))
    }
  }

  /// At a finite value.
  func at(_ value: Double) -> Double {
    guard !isWhole else { return 1 }
    let exponent = value == 0 ? leastExponent : max(Int(value.exponent), leastExponent)
    return Double(sign: .plus, exponent: exponent - fractionBits, significand: 1)
  }
}
