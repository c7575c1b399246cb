import CKernels
import Tensors

/// How the kernels read the elements of a type as numbers. A complex number counts as two.
struct Numbers: Sendable {
  private let kind: bk_number
  /// The values of all 256 bytes, for types of 8 bits.
  private let table: [Double]
  private let dtype: DType

  init(_ dtype: DType) {
    self.dtype = dtype
    table = dtype.bits == 8 ? Numbers.values(dtype) : []
    kind =
      switch dtype {
      case .float32, .complex64: BK_NUMBER_F32
      case .bfloat16: BK_NUMBER_BF16
      case .float16: BK_NUMBER_F16
      case .int16: BK_NUMBER_I16
      case .uint16: BK_NUMBER_U16
      case .int32: BK_NUMBER_I32
      case .uint32: BK_NUMBER_U32
      case .int64: BK_NUMBER_I64
      case .uint64: BK_NUMBER_U64
      case .float64, .complex128: BK_NUMBER_F64
      default: dtype.bits == 8 ? BK_NUMBER_CODES : BK_NUMBER_F64
      }
  }

  private static func values(_ dtype: DType) -> [Double] {
    (try? Tensor(dtype, shape: [256], bytes: Bytes((0..<256).map { UInt8($0) })))?.doubles ?? []
  }

  /// Calls `body` with the kernels' type, the table and the numbers of a piece that holds whole elements.
  func with<R>(
    _ piece: Bytes, _ body: (bk_number, UnsafePointer<Double>?, UnsafeRawPointer?, _ count: Int) throws -> R
  ) throws -> R {
    if dtype.bits < 8 {
      let values = try Tensor(dtype, shape: [piece.count * 8 / dtype.bits], bytes: piece).doubles
      return try values.withUnsafeBytes { try body(BK_NUMBER_F64, nil, $0.baseAddress, values.count) }
    }
    let count = piece.count * 8 / dtype.bits * (dtype.isComplex ? 2 : 1)
    return try table.withUnsafeBufferPointer { table in
      try piece.withUnsafeBytes { try body(kind, table.baseAddress, $0.baseAddress, count) }
    }
  }
}
