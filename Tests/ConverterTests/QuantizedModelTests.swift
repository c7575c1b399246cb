import Foundation
import IR
import Runtime
import Safetensors
import TestSupport
import Tensors
import Testing

@testable import Converter

/// Packages in the AscendV1 format that run: their logits are those of `make_packages.py`.
@Suite struct QuantizedModelTests {
  static let names = Fixtures.names("quantization/packages", suffix: "")
  private static let folder = Fixtures.folder + "/quantization/packages"
  private static let options = RunOptions(threads: 2)

  /// The logits of two runs of one session, the second of a single token.
  private func logits(_ session: Session, _ expected: TensorStore) throws -> [Tensor] {
    try (0..<2).map { run in
      let ids = try expected.tensor(TensorName("ids.\(run)"))
      return try #require(try session.run(["input_ids": ids])["logits"])
    }
  }

  /// The largest difference as a part of the largest value.
  private func error(_ actual: Tensor, _ expected: Tensor) -> Double {
    guard actual.shape == expected.shape else { return .infinity }
    let (a, b) = (actual.doubles, expected.doubles)
    return zip(a, b).map { abs($0 - $1) }.max()! / b.map { abs($0) }.max()!
  }

  @Test func everySchemeHasAPackage() throws {
    let schemes = try Self.names.flatMap { name -> [QuantizedScheme] in
      let model = try LoadedModel(path: Self.folder + "/" + name)
      return model.graph.nodeIDs.compactMap { (model.graph[$0].op as? QuantizedWeight)?.scheme }
    }
    #expect(Set(schemes) == Set(QuantizedScheme.allCases))
  }

  @Test(arguments: names, QuantizedArithmetic.allCases)
  func agreesWithNumPy(_ name: String, _ arithmetic: QuantizedArithmetic) throws {
    let path = Self.folder + "/" + name
    let expected = try SafetensorsFile(path: path + "/expected.bin").store()
    let model = try RunnableModel(path: path, options: Self.options, arithmetic: arithmetic)
    #expect(!model.loaded.graph.nodeIDs.contains { model.loaded.graph[$0].op is QuantizedWeight })
    for (run, actual) in try logits(model.session, expected).enumerated() {
      let wanted = try expected.tensor(TensorName("\(arithmetic.rawValue).\(run)"))
      #expect(error(actual, wanted) < 1e-5, "run \(run)")
    }
  }

  @Test(arguments: names) func aBundleRunsTheSame(_ name: String) throws {
    let (path, scratch) = (Self.folder + "/" + name, Scratch())
    let expected = try SafetensorsFile(path: path + "/expected.bin").store()
    _ = try Exporter(path, to: scratch("b"), options: ExportOptions(toolVersion: "test")).write { _, _ in }
    let own = try RunnableModel(path: path, options: Self.options)
    let bundled = try RunnableModel(path: scratch("b"), options: Self.options)
    #expect(try logits(own.session, expected) == logits(bundled.session, expected))
  }

  /// Widened weights and inputs as they are give nearly the same; how near depends on the scheme.
  @Test(arguments: names) func widenedWeightsAreNear(_ name: String) throws {
    let path = Self.folder + "/" + name
    let expected = try SafetensorsFile(path: path + "/expected.bin").store()
    let wide = try RunnableModel(path: path, options: Self.options, arithmetic: nil)
    let graph = wide.loaded.graph
    #expect(!graph.nodeIDs.contains { graph[$0].op is Ascend.QuantBatchMatmulV3 })
    let error = try error(logits(wide.session, expected)[0], expected.tensor("a2.0"))
    let isExact = name.contains("A16")
    // The static scales are narrower than the inputs, and cut some off.
    let isNarrow = name == "W8A8" || name == "W8A8-f16"
    let limit = isNarrow ? 0.3 : name.contains("W4A4") ? 0.5 : name.contains("MX") || name.contains("FP8") ? 0.2 : 0.05
    #expect(isExact ? error < 1e-5 : error > 1e-6 && error < limit, "\(error)")
  }

  @Test(arguments: [
    ("missing", ErrorCode.weights), ("type", .unsupportedFeature), ("shape", .weights), ("dtype", .weights),
  ])
  func refuses(_ change: String, _ code: ErrorCode) throws {
    let (path, scratch) = (Self.folder + "/W8A8_DYNAMIC", Scratch())
    try FileManager.default.createDirectory(atPath: scratch("m"), withIntermediateDirectories: true)
    try FileManager.default.copyItem(atPath: path + "/config.json", toPath: scratch("m/config.json"))
    var description = try Fixtures.text("quantization/packages/W8A8_DYNAMIC/quant_model_description.json")
    if change == "type" { description = description.replacingOccurrences(of: "W8A8_DYNAMIC", with: "NF4") }
    try description.write(toFile: scratch("m/quant_model_description.json"), atomically: true, encoding: .utf8)
    let store = try SafetensorsFile(path: path + "/quant_model_weights.safetensors").store()
    let changed = "model.layers.0.self_attn.q_proj.weight_scale"
    let entries = try store.entries.compactMap { entry -> SafetensorsWriter.Entry? in
      var tensor = try entry.tensor()
      if entry.name.string == changed {
        switch change {
        case "missing": return nil
        case "shape": tensor = tensor.reshaped([tensor.elementCount])
        case "dtype": tensor = try tensor.cast(to: .float64)
        default: break
        }
      }
      return SafetensorsWriter.Entry(entry.name, tensor.dtype, shape: tensor.shape) { [tensor] in
        try $0.write(tensor.bytes)
      }
    }
    try SafetensorsWriter(entries).write(to: scratch("m/model.safetensors"))
    #expect { _ = try LoadedModel(path: scratch("m")) } throws: { ($0 as? BessemerError)?.code == code }
  }
}
