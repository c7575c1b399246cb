internal import CHDF5
internal import Tensors

/// Element types of HDF5, which describes them bit by bit.
enum HDF5Types {
  /// The bits of floating-point types: exponent and fraction, and the number that stands for exponent 0.
  private static let floats: [(dtype: DType, exponent: Int, fraction: Int, bias: Int)] = [
    (.float64, 11, 52, 1023), (.float32, 8, 23, 127), (.float16, 5, 10, 15), (.bfloat16, 8, 7, 127),
    (.float8e5m2, 5, 2, 15),
  ]

  /// Types that no description fits: bytes without meaning for the library, with the name of the type as their tag.
  private static let tagged: [DType] = [.float8e4m3fn, .float8e4m3fnuz, .float8e5m2fnuz, .float8e8m0, .hifloat8]

  /// The type of what a datatype describes, and whether its bytes come the highest first; nil for what is no number.
  /// Types by class: whole numbers and bit fields; IEEE-like floats; h5py's truth values, which are an enumeration over
  /// bytes, and other enumerations, which are their numbers; h5py's complex numbers, which are pairs; two bytes without
  /// meaning, by which h5py stores bfloat16 of ml_dtypes; one such byte with the name of a type.
  static func describe(_ type: hid_t) -> (dtype: DType, isBigEndian: Bool)? {
    let size = H5Tget_size(type)
    guard (1...16).contains(size) else { return nil }
    let isBigEndian = H5Tget_order(type) == H5T_ORDER_BE
    switch H5Tget_class(type) {
    case H5T_INTEGER, H5T_BITFIELD:
      guard H5Tget_precision(type) == 8 * size, H5Tget_offset(type) == 0 else { return nil }
      let isSigned = H5Tget_class(type) == H5T_INTEGER && H5Tget_sign(type) == H5T_SGN_2
      return integer(8 * size, isSigned).map { ($0, isBigEndian) }
    case H5T_FLOAT: return float(type, 8 * size).map { ($0, isBigEndian) }
    case H5T_ENUM:
      let base = H5Tget_super(type)
      defer { H5Tclose(base) }
      return isBoolean(type, size) ? (.bool, false) : describe(base)
    case H5T_COMPOUND: return complex(type, size)
    case H5T_OPAQUE: return size == 2 ? (.bfloat16, false) : size == 1 ? tag(type).map { ($0, false) } : nil
    default: return nil
    }
  }

  private static func integer(_ bits: Int, _ isSigned: Bool) -> DType? {
    switch bits {
    case 8: isSigned ? .int8 : .uint8
    case 16: isSigned ? .int16 : .uint16
    case 32: isSigned ? .int32 : .uint32
    case 64: isSigned ? .int64 : .uint64
    default: nil
    }
  }

  private static func float(_ type: hid_t, _ bits: Int) -> DType? {
    var (sign, exponent, exponentSize, fraction, fractionSize) = (0, 0, 0, 0, 0)
    guard H5Tget_fields(type, &sign, &exponent, &exponentSize, &fraction, &fractionSize) >= 0,
      H5Tget_norm(type) == H5T_NORM_IMPLIED, H5Tget_precision(type) == bits, H5Tget_offset(type) == 0
    else { return nil }
    return floats.first { known in
      known.dtype.bits == bits && sign == bits - 1 && exponent == known.fraction && exponentSize == known.exponent
        && fraction == 0 && fractionSize == known.fraction && H5Tget_ebias(type) == known.bias
    }?.dtype
  }

  private static func tag(_ type: hid_t) -> DType? {
    guard let tag = H5Tget_tag(type) else { return nil }
    defer { H5free_memory(tag) }
    return tagged.first { $0.longName == String(validatingCString: tag) }
  }

  private static func isBoolean(_ type: hid_t, _ size: Int) -> Bool {
    guard size == 1, H5Tget_nmembers(type) == 2 else { return false }
    return ["FALSE", "TRUE"].enumerated().allSatisfy { index, expected in
      var value: Int8 = -1
      guard H5Tget_member_value(type, UInt32(index), &value) >= 0, value == Int8(index),
        let name = H5Tget_member_name(type, UInt32(index))
      else { return false }
      defer { H5free_memory(name) }
      return String(validatingCString: name) == expected
    }
  }

  private static func complex(_ type: hid_t, _ size: Int) -> (dtype: DType, isBigEndian: Bool)? {
    guard H5Tget_nmembers(type) == 2, size == 8 || size == 16, H5Tget_member_offset(type, 0) == 0,
      H5Tget_member_offset(type, 1) == size / 2
    else { return nil }
    let parts = (0..<2).map { index -> (dtype: DType, isBigEndian: Bool)? in
      let part = H5Tget_member_type(type, UInt32(index))
      defer { H5Tclose(part) }
      return describe(part)
    }
    guard let first = parts[0], let second = parts[1], first == second else { return nil }
    switch first.dtype {
    case .float32 where size == 8: return (.complex64, first.isBigEndian)
    case .float64 where size == 16: return (.complex128, first.isBigEndian)
    default: return nil
    }
  }

  // MARK: Writing

  /// Whether a type can be written.
  static func holds(_ dtype: DType) -> Bool {
    dtype == .bool || dtype.isComplex || dtype.isInteger && dtype.bits >= 8 || tagged.contains(dtype)
      || floats.contains { $0.dtype == dtype }
  }

  /// A datatype of this type, little-endian, which the caller closes; negative when there is none.
  static func make(_ dtype: DType) -> hid_t {
    // Keras reads bfloat16 only as h5py writes it, as bytes.
    if dtype != .bfloat16, let float = floats.first(where: { $0.dtype == dtype }) { return make(float) }
    switch dtype {
    case .bfloat16: return H5Tcreate(H5T_OPAQUE, 2)
    case _ where tagged.contains(dtype):
      let type = H5Tcreate(H5T_OPAQUE, 1)
      return H5Tset_tag(type, dtype.longName) < 0 ? -1 : type
    case .bool:
      let type = H5Tenum_create(h5_int8())
      for (name, value) in [("FALSE", Int8(0)), ("TRUE", 1)] {
        var value = value
        H5Tenum_insert(type, name, &value)
      }
      return type
    case .complex64, .complex128:
      let part = dtype == .complex64 ? h5_float32() : h5_float64()
      let type = H5Tcreate(H5T_COMPOUND, dtype.bits / 8)
      H5Tinsert(type, "r", 0, part)
      H5Tinsert(type, "i", dtype.bits / 16, part)
      return type
    default:
      guard let range = dtype.integerRange, dtype.bits >= 8 else { return -1 }
      return H5Tcopy(range.least < 0 ? h5_signed(dtype.bits) : h5_unsigned(dtype.bits))
    }
  }

  /// IEEE types are the library's own; shorter ones are described.
  private static func make(_ float: (dtype: DType, exponent: Int, fraction: Int, bias: Int)) -> hid_t {
    let type = H5Tcopy(float.dtype == .float64 ? h5_float64() : h5_float32())
    guard float.dtype.bits < 32 else { return type }
    // The fields must fit the old size and the new one at every step.
    guard
      H5Tset_fields(type, float.dtype.bits - 1, float.fraction, float.exponent, 0, float.fraction) >= 0,
      H5Tset_size(type, float.dtype.bits / 8) >= 0, H5Tset_ebias(type, float.bias) >= 0
    else { return -1 }
    return type
  }
}
