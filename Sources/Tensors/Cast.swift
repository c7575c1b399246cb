internal import CKernels

extension Tensor {
  /// The tensor with another element type. To a float, rounds once, ties to even; from a float to a whole number,
  /// truncates, saturates and makes zero of NaN; between whole numbers, wraps around. Booleans are 0 and 1, and `x !=
  /// 0`.
  ///
  /// The three types float32, bfloat16 and float16 are converted in bulk, all others by value.
  /// Throws ``ErrorCode/unsupportedType`` for complex types.
  public func cast(to dtype: DType) throws -> Tensor {
    if dtype == self.dtype { return self }
    guard BulkConversion.exists(from: self.dtype, to: dtype), let size = dtype.byteCount(of: elementCount) else {
      return try castByValue(to: dtype)
    }
    let converted = try Bytes(byteCount: size) { target in
      bytes.withUnsafeBytes { BulkConversion.convert($0, self.dtype, to: target, dtype, count: elementCount) }
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

/// Conversion between float32, bfloat16 and float16, many elements at a time.
package enum BulkConversion {
  /// Whether ``convert(_:_:to:_:count:)`` takes these types.
  package static func exists(from source: DType, to target: DType) -> Bool {
    kernelType(source) != nil && kernelType(target) != nil
  }

  /// Converts `count` elements: rounds to nearest, ties to even; keeps subnormals, and NaNs as NaNs. The buffers hold
  /// at least that many elements and do not overlap.
  package static func convert(
    _ source: UnsafeRawBufferPointer, _ sourceType: DType, to target: UnsafeMutableRawBufferPointer,
    _ targetType: DType, count: Int
  ) {
    guard let from = kernelType(sourceType), let to = kernelType(targetType) else {
      preconditionFailure("no bulk conversion from \(sourceType) to \(targetType)")
    }
    precondition(source.count >= count * sourceType.bits / 8 && target.count >= count * targetType.bits / 8)
    guard count > 0, let input = source.baseAddress, let output = target.baseAddress else { return }
    // Both buffers hold `count` elements, as checked above.
    bk_convert(nil, to, output, from, input, count)
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
