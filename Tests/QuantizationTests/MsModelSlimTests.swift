import Quantization
import Safetensors
import TestSupport
import Tensors
import Testing

/// What msModelSlim wrote, byte for byte.
@Suite struct MsModelSlimTests {
  static let store: TensorStore? = try? SafetensorsCheckpoint.read(
    Fixtures.folder + "/quantization/msmodelslim.safetensors")

  static let methods: [String: WeightMethod] = [
    "ssz": .ssz(steps: 50), "x": .ceilX(divisor: 7.25), "fouroversix": .fourOverSix, "round": .mseRound,
  ]

  static let packages: [(String, any LinearScheme)] = [
    ("qwen2_bfloat16__w8a8_dynamic_ssz", W8A8Dynamic()), ("qwen2_bfloat16__w4a8_dynamic_ssz", W4A8Dynamic()),
    ("qwen2_bfloat16__mxfp4_ceil_x", MXFP4()), ("qwen2_bfloat16__mxfp4_fouroversix", MXFP4()),
    ("qwen2_bfloat16__mxfp8_mse_round", MXFP8()),
    ("qwen2_bfloat16__mxfp4", MXFP4()), ("qwen2_bfloat16__mxfp8", MXFP8()),
    ("qwen2_bfloat16__w4a8_dynamic", W4A8Dynamic()), ("qwen2_bfloat16__w4a8_mxfp", W4A8MX()),
    ("qwen2_bfloat16__w8a16", W8A16()), ("qwen2_bfloat16__w8a8_dynamic", W8A8Dynamic()),
    ("qwen2_bfloat16__w8a8_mix", W8A8Mix()), ("qwen2_bfloat16__w8a8_static", W8A8()),
    ("qwen2_bfloat16__wfp8afp8", FP8()), ("qwen3_float32__w8a8_dynamic", W8A8Dynamic()),
    ("qwen3_float32__w8a8_static", W8A8()),
  ]

  @Test(arguments: packages.indices, ["model.layers.0.self_attn.k_proj", "model.layers.0.self_attn.o_proj"])
  func sameBytes(_ index: Int, _ module: String) throws {
    let (package, scheme) = MsModelSlimTests.packages[index]
    let store = try #require(MsModelSlimTests.store)
    let model =
      String(try #require(package.split(separator: "_", maxSplits: 1).first)) + "_"
      + (package.contains("bfloat16") ? "bfloat16" : "float32")
    let source = try store.tensor(TensorName("source-\(model)/\(module).weight"))
    let weight = try LinearWeight(module: module, source.dtype, shape: source.shape)
    #expect(scheme.problem(weight) == nil)
    let bias = try store[TensorName("source-\(model)/\(module).bias")].map { try $0.tensor().doubles.map { Float($0) } }
    var input: InputGrid?
    if let scale = store[TensorName("\(package)/\(module).input_scale")],
      let offset = store[TensorName("\(package)/\(module).input_offset")]
    {
      input = InputGrid(scale: Float(try scale.tensor().doubles[0]), offset: Float(try offset.tensor().doubles[0]))
    }
    let method = MsModelSlimTests.methods[String(package.split(separator: "_").last ?? "")] ?? .minmax
    #expect(method.suits(scheme.grid))
    // In two pieces, as a large weight is, unless the method takes it whole.
    let tensors = scheme.tensors(weight)
    var bytes = tensors.map { _ in [UInt8]() }
    let (half, size) = (weight.rows / 4 * 2, weight.columns * source.dtype.bits / 8)
    for range in method.needsWholeWeight ? [0..<weight.rows] : [0..<half, half..<weight.rows] {
      let rows = WeightRows(
        weight, range, bytes: source.bytes[(range.lowerBound * size)..<(range.upperBound * size)],
        bias: bias.map { Array($0[range]) }, input: input, method: method)
      for (index, part) in try scheme.quantize(rows).enumerated() { bytes[index] += part.array }
    }
    for (tensor, bytes) in zip(tensors, bytes) {
      let expected = try #require(store[TensorName("\(package)/\(module).\(tensor.suffix)")], "\(tensor.suffix)")
      #expect(expected.type == TensorType(tensor.dtype, shape: tensor.shape), "\(tensor.suffix)")
      let made = try Tensor(tensor.dtype, shape: tensor.shape, bytes: Bytes(bytes))
      if tensor.suffix == "scale_bias" {
        // A long sum, in another order.
        for (a, b) in zip(made.doubles, try expected.tensor().doubles) {
          #expect((a - b).magnitude <= 1e-5 * max(1, b.magnitude))
        }
      } else {
        #expect(try made.bytes == expected.tensor().bytes, "\(tensor.suffix)")
      }
    }
  }
  /// Each long block of a row is by itself.
  @Test func longBlocksHaveScalesOfTheirOwn() throws {
    var generator = SplitMix64(seed: 12)
    let values = (0..<4 * 96).map { _ in Float.random(in: -3...3, using: &generator) }
    func parts(_ columns: Range<Int>) throws -> [[UInt8]] {
      let own = (0..<4).flatMap { row in columns.map { values[row * 96 + $0] } }
      let weight = try LinearWeight(module: "m", .float32, shape: [4, columns.count])
      return try MXFP4Dual(blockSize: 32).quantize(
        WeightRows(weight, 0..<4, bytes: Tensor(own, shape: [own.count]).bytes)
      ).map(\.array)
    }
    let (whole, first, last) = (try parts(0..<96), try parts(0..<32), try parts(64..<96))
    for (all, left, right) in zip(whole, zip(first, last)).map({ ($0, $1.0, $1.1) }) {
      let (size, part) = (all.count / 4, left.count / 4)
      for row in 0..<4 {
        #expect(Array(all[row * size..<row * size + part]) == Array(left[row * part..<(row + 1) * part]))
        #expect(Array(all[(row + 1) * size - part..<(row + 1) * size]) == Array(right[row * part..<(row + 1) * part]))
      }
    }
    // A block of zeros has a scale of zero, and no code is NaN.
    let weight = try LinearWeight(module: "m", .float32, shape: [1, 32])
    let zeros = try MXFP4Dual().quantize(
      WeightRows(weight, 0..<1, bytes: Tensor([Float](repeating: 0, count: 32), shape: [32]).bytes))
    #expect(zeros[0].array.allSatisfy { $0 == 0 } && zeros[2].array.allSatisfy { $0 == 0 })
  }
}
