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

  @Test func plansAndApplies() throws {
    let measured = try Tool.run(
      "quantize", "sensitivity", Self.model, "w8a8-dynamic", "w4a8-dynamic", "--text", Self.model + "/heldout.txt",
      "--samples", "4", "--html", folder["s.html"], "--json")
    #expect(measured.status == 0, "\(measured.error)")
    try folder.write("s.json", measured.out)
    let page = try String(decoding: contents(folder["s.html"]), as: UTF8.self)
    #expect(
      page.contains("<svg") && page.contains("model.layers.3.mlp.down_proj") && !page.contains("http://localhost"))
    let planned = try Tool.run(
      "quantize", "plan", Self.model, "--target-bpw", "8", "--sensitivity", folder["s.json"], "-o", folder["p.yaml"])
    #expect(planned.status == 0 && planned.out.contains("bits per weight, KL about"), "\(planned.error)")
    let applied = try Tool.run("quantize", "apply", Self.model, folder["out"], "--plan", folder["p.yaml"])
    #expect(applied.status == 0 && applied.out.contains("24 layers quantized"), "\(applied.error)")
    // The text itself without a file; the same again.
    let again = try Tool.run("quantize", "plan", Self.model, "--target-bpw", "8", "--sensitivity", folder["s.json"])
    #expect(try again.status == 0 && Data(again.out.utf8) == contents(folder["p.yaml"]))
  }

  @Test(arguments: [
    (["plan"], 2, "model"), (["apply", "x", "y"], 2, "--plan"), (["sensitivity", "x"], 2, "schemes"),
    (["plan", "x", "--target-bpw", "4", "--max-kl", "1"], 2, "exclude"),
    (["plan", "x", "--max-kl", "nan"], 2, "--max-kl"),
    (["plan", "x", "--rows", "0"], 2, "--rows"), (["plan", "x", "--soc", "a5"], 2, "--soc"),
    (["./plan", "y", "w8a8-dynamic"], 3, "./plan"),
    (["sensitivity", "x", "w8a8", "--soc", "Ascend310", "--text", "y"], 4, "--soc"),
  ]) func refusesTheSubcommands(_ arguments: [String], _ status: Int, _ word: String) throws {
    let result = try Tool.run(["quantize"] + arguments)
    #expect(result.status == Int32(status) && result.error.contains(word), "\(result.error)")
    #expect(result.error.split(separator: "\n").count == 1)
  }

  @Test func packageMayBeLeftOut() throws {
    for (name, words) in [("a", ["package"]), ("b", [])] {
      let result = try Tool.run(["quantize"] + words + ["--method", "ssz", Self.model, folder[name], "w8a8-dynamic"])
      #expect(result.status == 0, "\(result.error)")
    }
    let name = "/quant_model_weights-00001-of-00001.safetensors"
    #expect(try contents(folder["a"] + name) == contents(folder["b"] + name))
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
