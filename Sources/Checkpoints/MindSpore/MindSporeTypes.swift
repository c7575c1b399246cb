internal import Tensors

/// How MindSpore's checkpoints spell element types, case-sensitive.
enum MindSporeTypes {
  /// Both directions; `isLoaded` says whether MindSpore 2.10 loads what it saves.
  private static let table: [(name: String, dtype: DType, isLoaded: Bool)] = [
    ("Float64", .float64, true), ("Float32", .float32, true), ("Float16", .float16, true),
    ("BFloat16", .bfloat16, true), ("Int64", .int64, true), ("Int32", .int32, true), ("Int16", .int16, true),
    ("Int8", .int8, true), ("UInt64", .uint64, true), ("UInt32", .uint32, true), ("UInt16", .uint16, true),
    ("UInt8", .uint8, true), ("Bool", .bool, true), ("Complex64", .complex64, false),
    ("Complex128", .complex128, false),
  ]
  /// The types of tables, which are spelled otherwise.
  private static let tableTypes: [(name: String, dtype: DType)] = [
    ("float64", .float64), ("float32", .float32), ("float16", .float16), ("int32", .int32),
  ]

  /// Two 4-bit numbers a byte, in an order that nothing defines; dimensions count bytes. Taken for bytes, and marked
  /// in the metadata under the tensor's name, as MindSpore's own safetensors files are.
  static let packedInt4 = "Int4"
  /// Text in UTF-32, little-endian.
  static let text = "str"
  /// The mark in the metadata, under its name, of a hash table whose tensors stand beside.
  static let tableMark = "MapParameter"

  static func dtype(_ name: String) -> DType? {
    name == packedInt4 ? .int8 : table.first { $0.name == name }?.dtype
  }

  /// The spelling of a type that MindSpore loads.
  static func name(_ dtype: DType) -> String? { table.first { $0.dtype == dtype && $0.isLoaded }?.name }

  static func tableDType(_ name: String) -> DType? { tableTypes.first { $0.name == name }?.dtype }
  static func tableName(_ dtype: DType) -> String? { tableTypes.first { $0.dtype == dtype }?.name }
}
