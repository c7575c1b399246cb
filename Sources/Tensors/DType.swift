/// The type of a tensor's elements. Sizes are in bits: 4- and 6-bit types are packed without padding between elements.
///
/// The raw value is the short name used in graph text and in listings.
public enum DType: String, Sendable, CaseIterable, Codable {
  case float64 = "f64"
  case float32 = "f32"
  case float16 = "f16"
  case bfloat16 = "bf16"
  case float8e4m3fn = "f8e4m3fn"
  case float8e5m2 = "f8e5m2"
  case float8e4m3fnuz = "f8e4m3fnuz"
  case float8e5m2fnuz = "f8e5m2fnuz"
  /// A power of two without sign, the scale of OCP microscaling formats.
  case float8e8m0 = "f8e8m0"
  /// Huawei HiFloat8: tapered precision, see ``HiFloat8``.
  case hifloat8 = "hif8"
  case float6e2m3 = "f6e2m3"
  case float6e3m2 = "f6e3m2"
  case float4e2m1 = "f4e2m1"
  case int64 = "i64"
  case int32 = "i32"
  case int16 = "i16"
  case int8 = "i8"
  case int4 = "i4"
  case uint64 = "u64"
  case uint32 = "u32"
  case uint16 = "u16"
  case uint8 = "u8"
  case uint4 = "u4"
  /// One byte per element; zero is false, everything else is true.
  case bool = "bool"
  case complex64 = "c64"
  case complex128 = "c128"

  /// Bits per element.
  public var bits: Int {
    switch self {
    case .complex128: 128
    case .float64, .int64, .uint64, .complex64: 64
    case .float32, .int32, .uint32: 32
    case .float16, .bfloat16, .int16, .uint16: 16
    case .float8e4m3fn, .float8e5m2, .float8e4m3fnuz, .float8e5m2fnuz, .float8e8m0, .hifloat8, .int8, .uint8, .bool: 8
    case .float6e2m3, .float6e3m2: 6
    case .float4e2m1, .int4, .uint4: 4
    }
  }

  /// Whether elements are real numbers with an exponent.
  public var isFloat: Bool {
    switch self {
    case .float64, .float32, .float16, .bfloat16, .float8e4m3fn, .float8e5m2, .float8e4m3fnuz, .float8e5m2fnuz,
      .float8e8m0, .hifloat8, .float6e2m3, .float6e3m2, .float4e2m1:
      true
    default: false
    }
  }

  /// Whether elements are whole numbers (not booleans).
  public var isInteger: Bool { integerRange != nil }

  /// Whether elements are complex numbers.
  public var isComplex: Bool { self == .complex64 || self == .complex128 }

  /// The least and greatest value of an integer type, or nil. `uint64` is clamped to what `Int64` holds
  /// by its users; its upper bound here is `UInt64.max`.
  public var integerRange: (least: Int64, greatest: UInt64)? {
    switch self {
    case .int64: (Int64.min, UInt64(Int64.max))
    case .int32: (Int64(Int32.min), UInt64(Int32.max))
    case .int16: (Int64(Int16.min), UInt64(Int16.max))
    case .int8: (Int64(Int8.min), UInt64(Int8.max))
    case .int4: (-8, 7)
    case .uint64: (0, UInt64.max)
    case .uint32: (0, UInt64(UInt32.max))
    case .uint16: (0, UInt64(UInt16.max))
    case .uint8: (0, UInt64(UInt8.max))
    case .uint4: (0, 15)
    default: nil
    }
  }

  /// Bytes of an element that stands alone: of a type below a byte, one.
  package var cellByteCount: Int { max(1, bits / 8) }

  /// The number of bytes that `elementCount` packed elements take, or nil when the count does not fit or the last
  /// byte of a sub-byte type would be incomplete.
  public func byteCount(of elementCount: Int) -> Int? {
    let (total, overflow) = elementCount.multipliedReportingOverflow(by: bits)
    guard !overflow, total >= 0, total % 8 == 0 else { return nil }
    return total / 8
  }

  /// The type that any usual spelling means: `float16`, `f16`, `fp16`, `half`, `torch.float16`, `F16`, `DT_FLOAT16`…
  public init?(spelling: String) {
    var name = spelling.lowercased()
    for prefix in ["torch.", "mindspore.", "ms.", "np.", "numpy.", "jnp.", "tf.", "dt_"] where name.hasPrefix(prefix) {
      name.removeFirst(prefix.count)
    }
    name.removeAll { $0 == "_" || $0 == "-" }
    guard let dtype = DType.spellings[name] else { return nil }
    self = dtype
  }

  private static let spellings: [String: DType] = {
    var table: [String: DType] = [
      "double": .float64, "float": .float32, "single": .float32, "half": .float16, "brainfloat16": .bfloat16,
      "bfloat": .bfloat16, "f8e4m3": .float8e4m3fn, "fp8": .float8e4m3fn, "float8e4m3": .float8e4m3fn,
      "e4m3": .float8e4m3fn,
      "e4m3fn": .float8e4m3fn, "e5m2": .float8e5m2, "fp8e4m3": .float8e4m3fn, "hifloat8": .hifloat8, "hif8": .hifloat8,
      "e8m0": .float8e8m0, "float8e8m0fnu": .float8e8m0, "f4": .float4e2m1, "fp4": .float4e2m1, "e2m1": .float4e2m1,
      "float4e2m1fn": .float4e2m1, "float6e2m3fn": .float6e2m3, "float6e3m2fn": .float6e3m2, "long": .int64,
      "int": .int32, "short": .int16, "char": .int8, "byte": .uint8,
      "boolean": .bool, "complex64": .complex64, "complex128": .complex128, "cfloat": .complex64,
      "cdouble": .complex128,
      "bf16": .bfloat16, "bfloat16": .bfloat16,
    ]
    for dtype in DType.allCases {
      table[dtype.rawValue] = dtype
      for (short, longs) in [("f", ["float", "fp"]), ("i", ["int", "s"]), ("u", ["uint"])]
      where dtype.rawValue.hasPrefix(short) {
        for long in longs { table[long + dtype.rawValue.dropFirst(short.count)] = dtype }
      }
    }
    return table
  }()
}

extension DType: CustomStringConvertible {
  public var description: String { rawValue }

  /// The long name, as Python frameworks write it: `float16`, `bfloat16`, `int8`.
  public var longName: String {
    switch self {
    case .float8e4m3fn: "float8_e4m3fn"
    case .float8e5m2: "float8_e5m2"
    case .float8e4m3fnuz: "float8_e4m3fnuz"
    case .float8e5m2fnuz: "float8_e5m2fnuz"
    case .float8e8m0: "float8_e8m0fnu"
    case .float6e2m3: "float6_e2m3fn"
    case .float6e3m2: "float6_e3m2fn"
    case .float4e2m1: "float4_e2m1fn"
    case .hifloat8: "hifloat8"
    case .bfloat16: "bfloat16"
    case .bool: "bool"
    case .complex64: "complex64"
    case .complex128: "complex128"
    default:
      (isFloat ? "float" : rawValue.hasPrefix("u") ? "uint" : "int") + String(bits)
    }
  }
}
