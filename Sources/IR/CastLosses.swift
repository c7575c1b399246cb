public import Tensors

/// What casts to narrower types did to values: how many changed, and how many became infinite.
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

  public struct Count: Sendable, Equatable {
    /// Values that were cast.
    public var examined = 0
    /// Values that are not the same afterwards; NaNs stay NaNs.
    public var changed = 0
    /// Finite values that became infinite.
    public var overflowed = 0

    public init(examined: Int = 0, changed: Int = 0, overflowed: Int = 0) {
      self.examined = examined
      self.changed = changed
      self.overflowed = overflowed
    }
  }

  /// By pair of types, only of casts that can change a value.
  public private(set) var counts: [Types: Count] = [:]

  /// Elements that are converted back at a time, small enough for the first cache.
  private static let pieceElementCount = 4096

  public init() {}

  public static func += (a: inout CastLosses, b: CastLosses) {
    for (types, count) in b.counts {
      a.counts[types, default: Count()].examined += count.examined
      a.counts[types, default: Count()].changed += count.changed
      a.counts[types, default: Count()].overflowed += count.overflowed
    }
  }

  /// Whether each value of `from` is one of `to`.
  static func isExact(from: DType, to: DType) -> Bool {
    switch (from, to) {
    case _ where from == to || from == .bool: true
    case (_, .float64): from.isFloat || from.isInteger && from.bits <= 32
    case (_, .float32): from.isFloat && from.bits <= 16 || from.isInteger && from.bits <= 16
    default:
      if let a = from.integerRange, let b = to.integerRange {
        b.least <= a.least && a.greatest <= b.greatest
      } else {
        false
      }
    }
  }

  /// Notes what became of `count` values that were cast from `source` to `target`, two buffers of as many elements.
  mutating func note(
    _ source: UnsafeRawBufferPointer, _ from: DType, _ target: UnsafeRawBufferPointer, _ to: DType, count: Int
  ) throws {
    guard !CastLosses.isExact(from: from, to: to), count > 0 else { return }
    var result = Count(examined: count)
    if BulkConversion.exists(from: from, to: to) {
      // Converting back is exact on the way from 16 to 32 bits, and between the short types where nothing was lost.
      let size = from.bits / 8
      let step = min(count, CastLosses.pieceElementCount)
      let memory = HeapMemory(byteCount: step * size)
      for start in stride(from: 0, to: count, by: step) {
        let length = min(step, count - start)
        let back = UnsafeMutableRawBufferPointer(start: memory.base, count: length * size)
        let converted = UnsafeRawBufferPointer(rebasing: target[(start * to.bits / 8)...])
        BulkConversion.convert(converted, to, to: back, from, count: length)
        let original = UnsafeRawBufferPointer(rebasing: source[(start * size)...])
        if from == .float32 {
          result.compare(original, UnsafeRawBufferPointer(back), UInt32.self, infinity: 0x7F80_0000, count: length)
        } else {
          let infinity: UInt16 = from == .float16 ? 0x7C00 : 0x7F80
          result.compare(original, UnsafeRawBufferPointer(back), UInt16.self, infinity: infinity, count: length)
        }
      }
      withExtendedLifetime(memory) {}
    } else {
      let (a, b) = (
        try Tensor(from, shape: [count], bytes: Bytes(source)), try Tensor(to, shape: [count], bytes: Bytes(target))
      )
      if from.isInteger, to.isInteger || to == .bool {
        for (x, y) in zip(a.integers, b.integers) where x != y { result.changed += 1 }
      } else {
        for (x, y) in zip(a.doubles, b.doubles) where x != y && !(x.isNaN && y.isNaN) {
          result.changed += 1
          if x.isFinite, y.isInfinite { result.overflowed += 1 }
        }
      }
    }
    var noted = CastLosses()
    noted.counts[Types(from: from, to: to)] = result
    self += noted
  }
}

extension CastLosses.Count {
  /// Compares IEEE patterns whose infinity is given: other bits, unless both are NaN or both are zero, are another
  /// value.
  fileprivate mutating func compare<U: FixedWidthInteger & UnsignedInteger & BitwiseCopyable>(
    _ source: UnsafeRawBufferPointer, _ back: UnsafeRawBufferPointer, _: U.Type, infinity: U, count: Int
  ) {
    let magnitude = U.max >> 1
    for index in 0..<count {
      let x = source.loadUnaligned(fromByteOffset: index * MemoryLayout<U>.size, as: U.self)
      let y = back.loadUnaligned(fromByteOffset: index * MemoryLayout<U>.size, as: U.self)
      guard x != y else { continue }
      let (a, b) = (x & magnitude, y & magnitude)
      if a > infinity && b > infinity { continue }
      changed += 1
      if a < infinity && b == infinity { overflowed += 1 }
    }
  }
}
