internal import Tensors

/// The bytes that tensors look at, as a pickle names them.
struct PyTorchStorage {
  /// The member or record that holds the bytes.
  let key: String
  /// The type of its elements; nil for bytes, whose tensors say what they are.
  let dtype: DType?
  /// Elements that the whole record holds.
  let elementCount: Int
  /// The elements of the record that are this storage, as old files have it.
  let range: Range<Int>

  var elementByteCount: Int { (dtype?.bits ?? 8) / 8 }
}

/// A view of a storage.
struct PyTorchTensor {
  /// The number of the storage.
  let storage: Int
  let dtype: DType
  /// In elements.
  let offset: Int
  let shape: [Int]
  let strides: [Int]
  /// Whether an element is a byte with two values, of which `shape` counts one.
  let isPair: Bool

  /// Dimensions of a tensor.
  static let maximumRank = 64

  /// The same view, of the same elements.
  func isSame(as other: PyTorchTensor, key: String, otherKey: String) -> Bool {
    key == otherKey && dtype == other.dtype && offset == other.offset && shape == other.shape
      && strides == other.strides
  }
}

/// The element types that storages and tensors are named by.
enum PyTorchTypes {
  /// Storages, without the word at the end.
  static let storages: [String: DType] = [
    "Double": .float64, "Float": .float32, "Half": .float16, "BFloat16": .bfloat16, "Long": .int64, "Int": .int32,
    "Short": .int16, "Char": .int8, "Byte": .uint8, "Bool": .bool, "ComplexFloat": .complex64,
    "ComplexDouble": .complex128,
  ]

  /// `torch.NAME`.
  static let dtypes: [String: DType] = [
    "float64": .float64, "float32": .float32, "float16": .float16, "bfloat16": .bfloat16, "int64": .int64,
    "int32": .int32, "int16": .int16, "int8": .int8, "uint64": .uint64, "uint32": .uint32, "uint16": .uint16,
    "uint8": .uint8, "bool": .bool, "complex64": .complex64, "complex128": .complex128,
    "float8_e4m3fn": .float8e4m3fn, "float8_e5m2": .float8e5m2, "float8_e4m3fnuz": .float8e4m3fnuz,
    "float8_e5m2fnuz": .float8e5m2fnuz, "float8_e8m0fnu": .float8e8m0, "float4_e2m1fn_x2": .float4e2m1,
  ]
}
