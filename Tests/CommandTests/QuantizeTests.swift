import Foundation
import Tensors
import Testing

/// `quantize` on the small trained model.
struct QuantizeTests {
  let folder: Scratch
  static let model = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .appendingPathComponent("../../fixtures/models/tiny-glm4").standardized.path

  init() throws { folder = try Scratch() }

  private func contents(_ path: String) throws -> Data { try Data(contentsOf: URL(fileURLWithPath: path)) }

  @Test func writesTheSamePackageWithAnyThreadCount() throws {
    for threads in ["1", "2"] {
      let result = try Tool.run("quantize", Self.model, folder[threads], "w8a8-dynamic", "--threads", threads)
      #expect(result.status == 0, "\(result.error)")
      #expect(result.out.contains("24 layers quantized"))
    }
    let names = try FileManager.default.contentsOfDirectory(atPath: folder["1"]).sorted()
    #expect(names.contains("quant_model_description.json") && names.contains("config.json"))
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder["2"]).sorted() == names)
    for name in names { #expect(try contents(folder["1"] + "/" + name) == contents(folder["2"] + "/" + name)) }
    // The package reads as a checkpoint whose every tensor the description names.
    let listing = try Tool.run("inspect", folder["1"], "--weights-only", "--json").json
    let description = try JSON.parse(Bytes(contents(folder["1"] + "/quant_model_description.json")))
    for tensor in try listing.required("tensors").asArray() {
      #expect(try description[tensor.required("name").asString()] != nil)
    }
    #expect(description["model_quant_type"]?.string == "W8A8_DYNAMIC")
    #expect(description["model.embed_tokens.weight"]?.string == "FLOAT")
    #expect(description["model.layers.0.mlp.gate_up_proj.weight"]?.string == "W8A8_DYNAMIC")
  }

  @Test func takesOtherSchemesByPattern() throws {
    let result = try Tool.run(
      "quantize", Self.model, folder["p"], "w8a16", "--scheme", "*.mlp.*=mxfp4", "--keep", "model.layers.0.*", "--json")
    #expect(result.status == 0, "\(result.error)")
    var schemes: [String: Int] = [:]
    for tensor in try result.json.required("tensors").asArray() {
      schemes[tensor["scheme"]?.string ?? "kept", default: 0] += 1
    }
    #expect(schemes["mxfp4"] == 6 && schemes["w8a16"] == 12)
  }

  @Test(arguments: [
    (["w3a3"], 2), (["w8a8"], 2), (["w8a8-dynamic", "--keep", "nothing.*"], 2),
    (["w8a8-dynamic", "--scheme", "*=none"], 2),
  ])
  func refuses(_ options: [String], _ status: Int) throws {
    let result = try Tool.run(["quantize", Self.model, folder["x"]] + options)
    #expect(result.status == Int32(status) && result.error.split(separator: "\n").count == 1, "\(result.error)")
    #expect(!FileManager.default.fileExists(atPath: folder["x"]))
  }
}
