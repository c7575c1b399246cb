import Tensors
import Testing

@Suite struct DTypeTests {
  static let table: [(DType, [String])] = [
    (.float64, ["f64", "float64", "fp64", "double", "torch.float64", "DT_DOUBLE", "F64"]),
    (.float32, ["f32", "float32", "fp32", "float", "torch.float", "DT_FLOAT", "np.float32", "single"]),
    (.float16, ["f16", "float16", "fp16", "half", "torch.half", "DT_FLOAT16", "mindspore.float16"]),
    (.bfloat16, ["bf16", "bfloat16", "torch.bfloat16", "BF16", "DT_BFLOAT16"]),
    (.float8e4m3fn, ["f8e4m3fn", "float8_e4m3fn", "F8_E4M3", "fp8", "fp8_e4m3", "torch.float8_e4m3fn"]),
    (.float8e5m2, ["f8e5m2", "float8_e5m2", "F8_E5M2", "fp8_e5m2"]),
    (.float8e4m3fnuz, ["F8_E4M3FNUZ", "float8_e4m3fnuz"]), (.float8e5m2fnuz, ["F8_E5M2FNUZ", "float8_e5m2fnuz"]),
    (.float8e8m0, ["F8_E8M0", "float8_e8m0fnu", "e8m0"]), (.hifloat8, ["hif8", "hifloat8", "HiFloat8"]),
    (.float6e2m3, ["F6_E2M3", "f6e2m3"]), (.float6e3m2, ["F6_E3M2"]),
    (.float4e2m1, ["F4", "fp4", "float4_e2m1fn", "f4e2m1"]),
    (.int64, ["i64", "int64", "long", "DT_INT64", "torch.long"]), (.int32, ["i32", "int32", "int", "torch.int"]),
    (.int16, ["i16", "short"]), (.int8, ["i8", "int8", "char", "s8", "DT_INT8"]), (.int4, ["i4", "int4", "s4"]),
    (.uint64, ["u64"]), (.uint32, ["u32", "uint32"]), (.uint16, ["u16"]), (.uint8, ["u8", "byte", "torch.uint8"]),
    (.uint4, ["u4", "uint4"]),
    (.bool, ["bool", "BOOL", "boolean", "torch.bool"]), (.complex64, ["c64", "C64", "complex64", "cfloat"]),
    (.complex128, ["c128", "complex128"]),
  ]

  @Test(arguments: table)
  func spellings(dtype: DType, names: [String]) {
    for name in names { #expect(DType(spelling: name) == dtype, "\(name)") }
  }

  @Test func everyTypeKnowsItself() {
    for dtype in DType.allCases {
      #expect(DType(spelling: dtype.rawValue) == dtype)
      if dtype.bits != 6 { #expect(DType(spelling: dtype.longName) == dtype, "\(dtype.longName)") }
    }
    for name in ["", "float", "f99", "Q4_K", "f32 ", "int128"] where name != "float" {
      #expect(DType(spelling: name) == nil)
    }
  }

  @Test func sizes() {
    #expect(DType.float4e2m1.byteCount(of: 4) == 2 && DType.float4e2m1.byteCount(of: 3) == nil)
    #expect(DType.float6e2m3.byteCount(of: 4) == 3 && DType.float6e2m3.byteCount(of: 2) == nil)
    #expect(DType.complex128.byteCount(of: 3) == 48 && DType.float64.byteCount(of: 1 << 60) == nil)
    #expect(Tensor.byteCount(.float32, shape: []) == 4 && Tensor.byteCount(.float32, shape: [2, 0, 5]) == 0)
    for shape in [
      [0, 1 << 62, 1 << 62], [1 << 62, 1 << 62, 0], [1 << 24, 1 << 25], [-1], [-2, -2], [3_037_000_500, 3_037_000_500],
    ] {
      #expect(Tensor.byteCount(.uint8, shape: shape) == nil, "\(shape)")
    }
  }
}
