internal import CKernels
internal import Tensors

/// Codes and scales of some rows, by the kernels.
struct WeightCodes {
  /// A code a byte, [rows, columns]; microscaling e2m1 has two a byte.
  var codes: [UInt8]
  /// [rows, groups]; of microscaling formats the stored exponents instead.
  var scales: [Float] = []
  var offsets: [Float] = []
  var exponents: [UInt8] = []

  /// Whole numbers of some bits by the rows' method, which is the range of each group (see `bk_quant_int`) if nothing
  /// else is said.
  static func whole(_ rows: WeightRows, bits: Int, group: Int = 0, symmetric: Bool = true) throws -> WeightCodes {
    if let stored = rows.stored { return WeightCodes(stored) }
    switch rows.method {
    case .ssz(let steps) where symmetric: return try fitted(rows, bits: bits, group: group, steps: steps)
    case let method where method.needsData:
      throw BessemerError(
        .weights, "nothing is known of the input of \(quoted(rows.weight.module)); it needs calibration")
    case .sparse(let rule): return try sparse(rows, rule)
    case .percentile(let share): return try clipped(rows, bits: bits, group: group, symmetric: symmetric, share: share)
    default: break
    }
    return try make(rows, group: group, codes: rows.elementCount) { weight, scales, offsets, codes in
      codes.withMemoryRebound(to: Int8.self) {
        bk_quant_int(nil, weight, Int32(bits), scales, symmetric ? nil : offsets, $0.baseAddress)
      }
    }
  }

  /// Whole numbers of some bits for scales that are known.
  static func whole(
    _ rows: WeightRows, bits: Int, group: Int, scales known: [Float], offsets: [Float]? = nil
  ) throws -> WeightCodes {
    let low = -(1 << (bits - 1))
    var made = try make(rows, group: group, codes: rows.elementCount) { weight, scales, _, codes in
      precondition(known.count == bk_weight_groups(weight) * weight.pointee.rows, "a scale for each group")
      return codes.withMemoryRebound(to: Int8.self) { codes in
        known.withUnsafeBufferPointer { known in
          guard let offsets else {
            let last = Int32(-low - 1)
            return bk_quant_int_with(nil, weight, Int32(low), last, known.baseAddress, nil, codes.baseAddress)
          }
          return offsets.withUnsafeBufferPointer {
            bk_quant_int_with(
              nil, weight, Int32(low), Int32(-low - 1), known.baseAddress, $0.baseAddress, codes.baseAddress)
          }
        }
      }
    }
    made.scales = known
    if let offsets { made.offsets = offsets }
    return made
  }

  /// float8 e4m3fn by the largest of each row, see `bk_quant_e4m3`.
  static func e4m3(_ rows: WeightRows) throws -> WeightCodes {
    if let stored = rows.stored { return WeightCodes(stored) }
    return try make(rows, group: 0, codes: rows.elementCount) { weight, scales, _, codes in
      bk_quant_e4m3(nil, weight, scales, codes.baseAddress)
    }
  }

  /// OCP microscaling blocks of 32 by the rows' method, see `bk_quant_mx`.
  static func microscaling(_ rows: WeightRows, isE2M1: Bool) throws -> WeightCodes {
    let format = try mxFormat(rows, isE2M1: isE2M1)
    var exponents = [UInt8](repeating: 0, count: rows.range.count * ((rows.weight.columns + 31) / 32))
    let codes = try exponents.withUnsafeMutableBufferPointer { exponents in
      try make(rows, group: 32, codes: isE2M1 ? rows.elementCount / 2 : rows.elementCount) { weight, _, _, codes in
        bk_quant_mx(nil, weight, format, exponents.baseAddress, codes.baseAddress)
      }.codes
    }
    return WeightCodes(codes: codes, exponents: exponents)
  }

  typealias Kernel = (
    UnsafePointer<bk_weight>, UnsafeMutablePointer<Float>?, UnsafeMutablePointer<Float>?,
    UnsafeMutableBufferPointer<UInt8>
  ) -> Int32

  /// Runs a kernel over the rows, in groups of columns (0: whole rows), with room for a scale and an offset each.
  static func make(_ rows: WeightRows, group: Int, codes: Int, _ kernel: Kernel) throws -> WeightCodes {
    let (count, columns) = (rows.range.count, rows.weight.columns)
    let size = group == 0 ? columns : group
    var scales = [Float](repeating: 0, count: count * ((columns + size - 1) / size))
    var offsets = scales
    let type: bk_dtype =
      switch rows.weight.dtype {
      case .bfloat16: BK_BF16
      case .float16: BK_F16
      default: BK_F32
      }
    var status = BK_OK
    // The bytes hold `count` rows of `columns` elements, which rows were made with; every array has room for its part.
    let bytes = [UInt8](unsafeUninitializedCapacity: codes) { buffer, initialized in
      buffer.initialize(repeating: 0)
      initialized = codes
      rows.bytes.withUnsafeBytes { raw in
        var weight = bk_weight(type: type, data: raw.baseAddress, rows: count, columns: columns, group: size)
        scales.withUnsafeMutableBufferPointer { scales in
          offsets.withUnsafeMutableBufferPointer { offsets in
            status = Int(kernel(&weight, scales.baseAddress, offsets.baseAddress, buffer))
          }
        }
      }
    }
    guard status == BK_OK else { throw notFinite(rows.weight) }
    return WeightCodes(codes: bytes, scales: scales, offsets: offsets)
  }

  private init(_ stored: StoredCodes) {
    (codes, scales, offsets) = (stored.codes, stored.scales, stored.offsets)
  }

  init(codes: [UInt8], scales: [Float] = [], offsets: [Float] = [], exponents: [UInt8] = []) {
    (self.codes, self.scales, self.offsets, self.exponents) = (codes, scales, offsets, exponents)
  }

  static func notFinite(_ weight: LinearWeight) -> BessemerError {
    BessemerError(.weights, "the weight of \(quoted(weight.module)) holds NaN or infinity; there is no scale for it")
  }

  /// Two codes a byte: those of two columns, the left in the low half.
  func packedColumns() -> [UInt8] {
    (0..<(codes.count / 2)).map { codes[2 * $0] & 15 | codes[2 * $0 + 1] << 4 }
  }

  /// Two codes a byte: those of two rows, the upper in the low half.
  func packedRows(_ columns: Int) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: codes.count / 2) { buffer, count in
      for pair in 0..<(codes.count / columns / 2) {
        for column in 0..<columns {
          let (low, high) = (codes[2 * pair * columns + column], codes[(2 * pair + 1) * columns + column])
          buffer.initializeElement(at: pair * columns + column, to: low & 15 | high << 4)
        }
      }
      count = codes.count / 2
    }
  }

  /// The bytes of 32-bit floats.
  static func bytes(_ values: [Float]) -> Bytes { values.withUnsafeBytes { Bytes($0) } }

  /// The bytes of numbers in a type of weights, which they are rounded to.
  static func bytes(_ values: [Float], as dtype: DType) throws -> Bytes {
    dtype == .float32 ? bytes(values) : try Tensor(values, shape: [values.count]).cast(to: dtype).bytes
  }

  /// The value rounded to a type of weights.
  static func round(_ value: Float, to dtype: DType) -> Float {
    switch dtype {
    case .bfloat16:
      let bits = value.bitPattern
      guard value.isFinite else { return value }
      return Float(bitPattern: (bits &+ 0x7FFF &+ (bits >> 16 & 1)) & 0xFFFF_0000)
    case .float16: return Float(Float16(value))
    default: return value
    }
  }
}
