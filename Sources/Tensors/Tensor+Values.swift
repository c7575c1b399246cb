/// Element access by value: the plain, readable meaning of every type. Bulk work uses ``Tensor/cast(to:)`` and the
/// kernels.
extension Tensor {
  /// The elements in row-major order as doubles; exact for every real type but 64-bit integers beyond 2^53.
  public var doubles: [Double] {
    let count = elementCount
    return bytes.withUnsafeBytes { raw in
      func load<T: BinaryFloatingPoint & BitwiseCopyable>(_: T.Type) -> [Double] {
        (0..<count).map { Double(raw.loadUnaligned(fromByteOffset: $0 * MemoryLayout<T>.size, as: T.self)) }
      }
      switch dtype {
      case .float64: return load(Double.self)
      case .float32: return load(Float.self)
      case .bool, .complex64, .complex128, .int64, .int32, .int16, .int8, .int4, .uint64, .uint32, .uint16, .uint8,
        .uint4:
        if dtype == .uint64 {
          return (0..<count).map { Double(raw.loadUnaligned(fromByteOffset: $0 * 8, as: UInt64.self)) }
        }
        return integers.map { Double($0) }
      case .hifloat8: return (0..<count).map { HiFloat8.values[Int(raw[$0])] }
      case .float8e8m0:
        return (0..<count).map {
          raw[$0] == 0xFF ? .nan : Double(sign: .plus, exponent: Int(raw[$0]) - 127, significand: 1)
        }
      default:
        let format = FloatFormat(dtype)!
        if dtype.bits == 16 {
          return (0..<count).map { format.decode(raw.loadUnaligned(fromByteOffset: $0 * 2, as: UInt16.self)) }
        }
        return (0..<count).map { format.decode(UInt16(field(raw, at: $0))) }
      }
    }
  }

  /// The elements of an integer or bool tensor in row-major order. `uint64` beyond `Int64.max` wraps; booleans are 0
  /// and 1.
  public var integers: [Int64] {
    let count = elementCount
    return bytes.withUnsafeBytes { raw in
      func load<T: FixedWidthInteger & BitwiseCopyable>(_: T.Type) -> [Int64] {
        (0..<count).map {
          Int64(truncatingIfNeeded: raw.loadUnaligned(fromByteOffset: $0 * MemoryLayout<T>.size, as: T.self))
        }
      }
      switch dtype {
      case .int64: return load(Int64.self)
      case .int32: return load(Int32.self)
      case .int16: return load(Int16.self)
      case .int8: return load(Int8.self)
      case .uint64: return load(UInt64.self)
      case .uint32: return load(UInt32.self)
      case .uint16: return load(UInt16.self)
      case .uint8: return load(UInt8.self)
      case .bool: return (0..<count).map { raw[$0] == 0 ? 0 : 1 }
      case .uint4: return (0..<count).map { Int64(field(raw, at: $0)) }
      case .int4: return (0..<count).map { Int64(Int8(bitPattern: field(raw, at: $0) << 4) >> 4) }
      default: preconditionFailure("\(dtype) is not an integer type")
      }
    }
  }

  /// The bit field of element `index` of a type of at most 8 bits; the first element is in the lowest bits.
  private func field(_ raw: UnsafeRawBufferPointer, at index: Int) -> UInt8 {
    let bits = dtype.bits
    let offset = index * bits
    var window = UInt16(raw[offset / 8])
    if offset % 8 + bits > 8 { window |= UInt16(raw[offset / 8 + 1]) << 8 }
    return UInt8(truncatingIfNeeded: window >> UInt16(offset % 8)) & UInt8(truncatingIfNeeded: (1 << bits) - 1)
  }

  /// A tensor of the given values, each rounded once, ties to even. Integers saturate, NaN becomes zero; booleans are
  /// `!= 0`.
  public init(_ dtype: DType, shape: [Int], doubles values: [Double]) throws {
    let bytes: Bytes
    switch dtype {
    case .float64: bytes = Tensor.packed(values)
    case .float32: bytes = Tensor.packed(values.map { Float($0) })
    case .float16, .bfloat16:
      let format = FloatFormat(dtype)!
      bytes = Tensor.packed(values.map { format.encode($0) })
    case .hifloat8: bytes = Bytes(values.map { HiFloat8.encode($0) })
    case .float8e8m0:
      bytes = Bytes(
        values.map { value in
          guard value.isFinite, value > 0 else { return value == 0 ? 0 : 0xFF }
          // Halfway between two powers goes up, as PyTorch and ml_dtypes have it.
          return UInt8(min(max(Int(value.exponent) + 127 + (value.significand >= 1.5 ? 1 : 0), 0), 254))
        })
    case .float8e4m3fn, .float8e5m2, .float8e4m3fnuz, .float8e5m2fnuz, .float6e2m3, .float6e3m2, .float4e2m1:
      let format = FloatFormat(dtype)!
      bytes = Tensor.fields(values.map { UInt8(truncatingIfNeeded: format.encode($0)) }, bits: dtype.bits)
    case .bool: bytes = Bytes(values.map { $0 != 0 ? 1 : 0 })
    case .complex64, .complex128: throw BessemerError(.unsupportedType, "real values do not make a \(dtype) tensor")
    default:
      let rounded = values.map { value -> Int64 in
        guard !value.isNaN else { return 0 }
        return Int64(exactly: value.rounded(.towardZero)) ?? (value < 0 ? .min : .max)
      }
      try self.init(dtype, shape: shape, integers: rounded)
      return
    }
    try self.init(dtype, shape: shape, bytes: bytes)
  }

  /// A tensor of the given whole numbers; an integer type saturates, a float type rounds once.
  public init(_ dtype: DType, shape: [Int], integers values: [Int64]) throws {
    guard let range = dtype.integerRange else {
      try self.init(dtype, shape: shape, doubles: values.map { Double($0) })
      return
    }
    let clamped = values.map { min(max($0, range.least), Int64(clamping: range.greatest)) }
    let bytes: Bytes
    switch dtype.bits {
    case 64: bytes = Tensor.packed(clamped)
    case 32: bytes = Tensor.packed(clamped.map { UInt32(truncatingIfNeeded: $0) })
    case 16: bytes = Tensor.packed(clamped.map { UInt16(truncatingIfNeeded: $0) })
    default: bytes = Tensor.fields(clamped.map { UInt8(truncatingIfNeeded: $0) }, bits: dtype.bits)
    }
    try self.init(dtype, shape: shape, bytes: bytes)
  }

  private static func packed<T: BitwiseCopyable>(_ values: [T]) -> Bytes {
    values.withUnsafeBytes { Bytes($0) }
  }

  private static func fields(_ values: [UInt8], bits: Int) -> Bytes {
    guard bits < 8 else { return Bytes(values) }
    var packed = [UInt8](repeating: 0, count: (values.count * bits + 7) / 8)
    for (index, value) in values.enumerated() {
      let offset = index * bits
      let window = UInt16(value & UInt8((1 << bits) - 1)) << UInt16(offset % 8)
      packed[offset / 8] |= UInt8(truncatingIfNeeded: window)
      if offset % 8 + bits > 8 { packed[offset / 8 + 1] |= UInt8(window >> 8) }
    }
    return Bytes(packed)
  }
}

extension Tensor {
  /// A float32 tensor of these values.
  public init(_ values: [Float], shape: [Int]) {
    self.init(unchecked: .float32, shape: shape, bytes: Tensor.packed(values))
  }

  /// An int64 tensor of these values.
  public init(_ values: [Int64], shape: [Int]) {
    self.init(unchecked: .int64, shape: shape, bytes: Tensor.packed(values))
  }

  /// The elements as floats, each rounded once.
  public var floats: [Float] {
    guard BulkConversion.kernelType(dtype) != nil else { return doubles.map { Float($0) } }
    return [Float](unsafeUninitializedCapacity: elementCount) { buffer, count in
      // Exact: the kernels' types are no wider than float32.
      _ = bytes.withUnsafeBytes {
        BulkConversion.convert($0, dtype, to: UnsafeMutableRawBufferPointer(buffer), .float32, count: elementCount)
      }
      count = elementCount
    }
  }
}
