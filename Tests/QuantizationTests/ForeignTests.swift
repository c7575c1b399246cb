import Quantization
import Safetensors
import TestSupport
import Tensors
import Testing

/// Weights of other programs, decoded to what their own code makes of them.
@Suite struct ForeignTests {
  static let store: TensorStore? = try? SafetensorsCheckpoint.read(
    Fixtures.folder + "/quantization/foreign.safetensors")
  static let configs: JSON? = try? Fixtures.json("quantization/foreign.json")
  static let names: [String] = configs.map { $0.members.map { String($0.key) } } ?? []

  /// The tensors of a case as a checkpoint.
  func checkpoint(_ name: String) throws -> (store: TensorStore, config: JSON, expected: Tensor) {
    let all = try #require(ForeignTests.store)
    var store = TensorStore()
    for entry in all.entries where entry.name.string.hasPrefix(name + "/layer") {
      try store.append(entry.renamed(TensorName(String(entry.name.string.dropFirst(name.count + 1)))))
    }
    return (store, try #require(ForeignTests.configs?[name]), try all.tensor(TensorName(name + "/expected")))
  }

  @Test func hasCases() { #expect(ForeignTests.names.count >= 20) }

  @Test(arguments: names) func decodes(_ name: String) throws {
    let (store, config, expected) = try checkpoint(name)
    let decoded = try ForeignCheckpoint.decoded(store, config)
    #expect(decoded.entries.map(\.name) == ["layer.weight"])
    let entry = try #require(decoded["layer.weight"])
    #expect(entry.type == expected.type)
    #expect(try entry.tensor().hasSameValues(as: expected))
    // Parts that begin and end inside of rows.
    let bytes = try #require(try entry.bytes())
    for range in [0..<2, 6..<(expected.bytes.count / 2 + 10), (expected.bytes.count - 4)..<expected.bytes.count] {
      var part = [UInt8](repeating: 0, count: range.count)
      try part.withUnsafeMutableBytes { if let base = $0.baseAddress { try bytes.read(range, into: base) } }
      #expect(try part == entry.tensor().bytes[range].array)
    }
  }

  /// What a scheme makes of codes that it keeps decodes to the same numbers.
  @Test(arguments: [
    ("gptq_4_-1_sym", "w4a16"), ("gptq_4_32_sym", "w4a16-g32"), ("gptq_8_-1_sym", "w8a8-dynamic"),
    ("ct_pack_4_channel", "w4a4-dynamic"), ("ct_int_channel", "w8a16"), ("ct_int_tensor", "w8a8-dynamic"),
    ("ct_pack_8_channel", "w8a8-dynamic"), ("ct_float_channel", "fp8"), ("gptq_8_-1_sym", "w8a8-dynamic"),
  ]) func keepsCodes(_ name: String, _ word: String) throws {
    let (store, config, expected) = try checkpoint(name)
    let weight = try #require(try ForeignCheckpoint.decoded(store, config)["layer.weight"]?.foreign)
    let scheme = try #require(LinearSchemes.scheme(word))
    #expect(try weight.agrees(with: scheme))
    let codes = try weight.codes(0..<weight.rows)
    let groups = codes.scales.count / weight.rows
    let values = try codes.codes.indices.map { index -> Double in
      let (row, column) = (index / weight.columns, index % weight.columns)
      let scale = codes.scales[row * groups + column * groups / weight.columns]
      let code: Double
      if scheme.grid == .float8 {
        code = try Tensor(.float8e4m3fn, shape: [1], bytes: Bytes([codes.codes[index]])).doubles[0]
      } else {
        code = Double(Int8(bitPattern: codes.codes[index]))
      }
      return code * Double(scale)
    }
    #expect(try Tensor(expected.dtype, shape: expected.shape, doubles: values).hasSameValues(as: expected))
  }

  @Test(arguments: [
    ("gptq_4_16_asym_order", "w4a16-g16"), ("awq_32", "w4a16-g32"), ("ct_pack_4_asym", "w4a16-g16"),
    ("gptq_4_32_sym", "w4a16"), ("gptq_4_-1_sym", "w8a8-dynamic"), ("fp8_block", "fp8"), ("ct_int_asym", "w8a16"),
  ]) func findsCodesAnew(_ name: String, _ word: String) throws {
    let (store, config, _) = try checkpoint(name)
    let weight = try #require(try ForeignCheckpoint.decoded(store, config)["layer.weight"]?.foreign)
    #expect(try !weight.agrees(with: #require(LinearSchemes.scheme(word))))
  }

  @Test(arguments: names) func refusesOtherShapes(_ name: String) throws {
    let (store, config, _) = try checkpoint(name)
    // Each tensor that goes with the codes in turn with a row less.
    for odd in store.entries
    where odd.shape.count == 2 && odd.shape[0] > 1 && !["layer.weight", "layer.qweight"].contains(odd.name.string) {
      var broken = TensorStore()
      for entry in store.entries {
        guard entry.name == odd.name else {
          try broken.append(entry)
          continue
        }
        let shape = [entry.shape[0] - 1, entry.shape[1]]
        let size = try #require(Tensor.byteCount(entry.dtype, shape: shape))
        try broken.append(
          entry.name, Tensor(entry.dtype, shape: shape, bytes: entry.tensor().bytes[0..<size]))
      }
      #expect(code { _ = try ForeignCheckpoint.decoded(broken, config) } == .tensorLayout, "\(odd.name)")
    }
  }

  @Test func refusesUnknownMethods() throws {
    for text in [
      #"{"quantization_config": {"quant_method": "bitsandbytes"}}"#,
      #"{"quantization_config": {"quant_method": "gptq", "checkpoint_format": "marlin"}}"#,
      #"{"quantization_config": {"quant_method": "awq", "version": "gemv"}}"#,
      #"{"quantization_config": {"quant_method": "compressed-tensors", "format": "marlin-24"}}"#,
    ] {
      let config = try JSON.parse(text)
      #expect(code { _ = try ForeignCheckpoint.decoded(TensorStore(), config) } == .unsupportedFeature)
    }
  }
}
