public import Tensors

extension DType {
  /// The types that the format knows, in the order in which its reference writer ranks them.
  private static let safetensorsTypes: [(name: String, dtype: DType)] = [
    ("BOOL", .bool), ("F4", .float4e2m1), ("F6_E2M3", .float6e2m3), ("F6_E3M2", .float6e3m2), ("U8", .uint8),
    ("I8", .int8),
    ("F8_E5M2", .float8e5m2), ("F8_E4M3", .float8e4m3fn), ("F8_E8M0", .float8e8m0), ("F8_E4M3FNUZ", .float8e4m3fnuz),
    ("F8_E5M2FNUZ", .float8e5m2fnuz), ("I16", .int16), ("U16", .uint16), ("F16", .float16), ("BF16", .bfloat16),
    ("I32", .int32), ("U32", .uint32), ("F32", .float32), ("C64", .complex64), ("F64", .float64), ("I64", .int64),
    ("U64", .uint64),
  ]

  private static let byName = Dictionary(
    safetensorsTypes.map { ($0.name, $0.dtype) }, uniquingKeysWith: { first, _ in first })
  private static let ranks = Dictionary(
    safetensorsTypes.enumerated().map { ($0.element.dtype, $0.offset) }, uniquingKeysWith: { first, _ in first })

  /// The type that a name in a safetensors header means, exactly as the format spells it.
  public init?(safetensorsName name: String) {
    guard let dtype = DType.byName[name] else { return nil }
    self = dtype
  }

  /// How a safetensors header names the type; nil for types that the format lacks.
  public var safetensorsName: String? { safetensorsRank.map { DType.safetensorsTypes[$0].name } }

  /// The position of the type in the reference writer's order, which puts the highest first.
  var safetensorsRank: Int? { DType.ranks[self] }
}
