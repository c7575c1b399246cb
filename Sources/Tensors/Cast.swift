internal import CKernels
internal import Synchronization

extension Tensor {
  /// The tensor with another element type. To a float, rounds once, ties to even; from a float to a whole number,
  /// truncates, saturates and makes zero of NaN; between whole numbers, wraps around. Booleans are 0 and 1, and `x !=
  /// 0`.
  ///
  /// The types float64, float32, bfloat16 and float16 are converted in bulk, all others by value.
  /// Throws ``ErrorCode/unsupportedType`` for complex types.
  public func cast(to dtype: DType) throws -> Tensor {
    if dtype == self.dtype { return self }
    guard BulkConversion.exists(from: self.dtype, to: dtype), let size = dtype.byteCount(of: elementCount) else {
      return try castByValue(to: dtype)
    }
    let converted = try Bytes(byteCount: size) { target in
      _ = bytes.withUnsafeBytes { BulkConversion.convert($0, self.dtype, to: target, dtype, count: elementCount) }
    }
    return try Tensor(dtype, shape: shape, bytes: converted)
  }

  /// The plain meaning of ``cast(to:)``.
  func castByValue(to dtype: DType) throws -> Tensor {
    guard !dtype.isComplex, !self.dtype.isComplex else {
      throw BessemerError(.unsupportedType, "\(self.dtype) does not become \(dtype)")
    }
    if self.dtype.isFloat {
      guard dtype == .uint64 else { return try Tensor(dtype, shape: shape, doubles: doubles) }
      let values = doubles.map { $0 > 0 ? UInt64(exactly: $0.rounded(.towardZero)) ?? .max : 0 }
      return try Tensor(.uint64, shape: shape, bytes: values.withUnsafeBytes { Bytes($0) })
    }
    let values = integers
    if let range = dtype.integerRange {
      if dtype.bits == 64 { return try Tensor(dtype, shape: shape, bytes: values.withUnsafeBytes { Bytes($0) }) }
      let unused = Int64(64 - dtype.bits)
      let wrapped = values.map { value in
        range.least < 0
          ? (value << unused) >> unused : Int64(bitPattern: (UInt64(bitPattern: value) << unused) >> UInt64(unused))
      }
      return try Tensor(dtype, shape: shape, integers: wrapped)
    }
    if dtype == .bool { return try Tensor(dtype, shape: shape, bytes: Bytes(values.map { $0 == 0 ? 0 : 1 })) }
    if dtype == .float64 { return try Tensor(dtype, shape: shape, doubles: doubles) }
    let isUnsigned = self.dtype == .uint64
    return try Tensor(
      dtype, shape: shape,
      doubles: values.map { value in
        let magnitude = Tensor.sticky(isUnsigned ? UInt64(bitPattern: value) : value.magnitude)
        return !isUnsigned && value < 0 ? -magnitude : magnitude
      })
  }

  /// A double that rounds to any narrower type as `value` does: exact, or with a last bit that says that bits were
  /// lost.
  private static func sticky(_ value: UInt64) -> Double {
    guard value >> 53 != 0 else { return Double(value) }
    return Double(value >> 11 | (value & 0x7FF == 0 ? 0 : 1)) * 2048
  }
}

/// Conversion between float64, float32, bfloat16 and float16, many elements at a time.
package enum BulkConversion {
  /// Whether ``convert(_:_:to:_:count:)`` takes these types.
  package static func exists(from source: DType, to target: DType) -> Bool {
    (kernelType(source) != nil || source == .float64) && (kernelType(target) != nil || target == .float64)
  }

  /// Converts `count` elements: rounds to nearest, ties to even; keeps subnormals, and NaNs as NaNs. The buffers hold
  /// at least that many elements and do not overlap. Returns what became of the values.
  @discardableResult
  package static func convert(
    _ source: UnsafeRawBufferPointer, _ sourceType: DType, to target: UnsafeMutableRawBufferPointer,
    _ targetType: DType, count: Int
  ) -> CastLosses.Count {
    precondition(exists(from: sourceType, to: targetType), "no bulk conversion from \(sourceType) to \(targetType)")
    precondition(source.count >= count * sourceType.bits / 8 && target.count >= count * targetType.bits / 8)
    var counts = bk_cast_counts()
    // Both buffers hold `count` elements, as checked above.
    if count > 0, let input = source.baseAddress, let output = target.baseAddress {
      switch (kernelType(sourceType), kernelType(targetType)) {
      case (let from?, let to?): bk_cast(to, output, from, input, count, &counts)
      case (nil, let to?): bk_cast_f64(to, output, input, count, &counts)
      case (let from?, nil): bk_widen_f64(output, from, input, count)
      case (nil, nil): output.copyMemory(from: input, byteCount: count * 8)
      }
    }
    return CastLosses.Count(counts, examined: count)
  }

  /// The kernels' name of a type they store.
  static func kernelType(_ dtype: DType) -> bk_dtype? {
    switch dtype {
    case .float32: BK_F32
    case .bfloat16: BK_BF16
    case .float16: BK_F16
    default: nil
    }
  }
}

extension CastLosses.Count {
  init(_ counts: bk_cast_counts, examined: Int) {
    self.init(examined: examined, changed: Int(counts.changed), overflowed: Int(counts.overflowed))
    underflowed = Int(counts.underflowed)
    nanCount = Int(counts.nan)
    largestUnits = UInt64(counts.largest)
    unitSum = counts.units
  }
}

/// Conversion of types of at most 8 bits by a table of their 256 patterns.
enum TableConversion {
  private static let tables = Mutex<[CastLosses.Types: Bytes]>([:])

  /// The values of all patterns of `source` as `target`; nil for other types than these of 16 bits and more.
  static func table(from source: DType, to target: DType) throws -> Bytes? {
    guard source.bits <= 8, target.isFloat, target.bits >= 16 else { return nil }
    let types = CastLosses.Types(from: source, to: target)
    if let known = tables.withLock({ $0[types] }) { return known }
    let patterns = (0..<256).map { UInt8($0 & ((1 << source.bits) - 1)) }
    let values = try patterns.withUnsafeBytes { try Tensor(cells: $0, source).castByValue(to: target).bytes }
    tables.withLock { $0[types] = values }
    return values
  }

  /// Unsafe: `source` holds `count` cells, `target` has room for as many elements.
  static func convert(
    _ source: UnsafeRawPointer, to target: UnsafeMutableRawPointer, _ dtype: DType, count: Int, table: Bytes
  ) {
    table.withUnsafeBytes { table in
      let codes = source.assumingMemoryBound(to: UInt8.self)
      _ = bk_lookup(Int32(dtype.bits / 8), target, codes, count, table.baseAddress)
    }
  }
}
