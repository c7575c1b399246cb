import Foundation
import Tensors
import Testing

/// `eval` of a quantized model against its source.
struct EvalTests {
  private let folder: Scratch
  private let source = QuantizeTests.model

  init() throws { folder = try Scratch() }

  /// Some lines of the text that the small model was not trained on.
  private func text() throws -> String {
    let all = try String(contentsOfFile: source + "/heldout.txt", encoding: .utf8)
    let path = folder["text.txt"]
    try all.split(separator: "\n").prefix(12).joined(separator: "\n").write(
      toFile: path, atomically: true, encoding: .utf8)
    return path
  }

  private func quantized(_ scheme: String) throws -> String {
    let result = try Tool.run("quantize", source, folder[scheme], scheme, "-q")
    #expect(result.status == 0, "\(result.error)")
    return folder[scheme]
  }

  @Test func saysWhatQuantizationCost() throws {
    let package = try quantized("w8a8-dynamic")
    let page = folder["page.html"]
    let result = try Tool.run("eval", package, source, "-d", try text(), "--html", page, "--json")
    #expect(result.status == 0, "\(result.error)")
    let json = try result.json
    #expect(json["reference"]?.string == source)
    let ratio = try json.required("perplexity_ratio").required("value").asDouble()
    #expect(ratio != 1 && abs(ratio - 1) < 0.005)
    let divergence = try json.required("kl_divergence").required("value").asDouble()
    #expect(divergence > 0 && divergence < 1e-3)
    let errors = try json.required("layer_errors").asArray().map { try $0.asDouble() }
    #expect(errors.count == 4 && errors.allSatisfy { $0 > 1e-4 && $0 < 0.05 })
    let bits = try (json.required("reference_size"), json.required("size"))
    #expect(try bits.0.required("bits_per_weight").asDouble() == 16)
    #expect(try (8..<12).contains(bits.1.required("bits_per_weight").asDouble()))
    #expect(try bits.0.required("parameters").asInt() == bits.1.required("parameters").asInt())
    let html = try String(contentsOfFile: page, encoding: .utf8)
    #expect(html.components(separatedBy: "<rect").count == 5 && !html.contains("<script") && !html.contains("src="))
  }

  /// Widened, eight-bit weights lose less than with their inputs in eight bits, and the table is one for a model card.
  @Test func widenedWeightsLoseLess() throws {
    let (package, text) = (try quantized("w8a8-dynamic"), try text())
    func divergence(_ options: String...) throws -> Double {
      let result = try Tool.run(["eval", package, source, "-d", text, "--json"] + options)
      return try result.json.required("kl_divergence").required("value").asDouble()
    }
    #expect(try divergence("--dequantize") < divergence())
    let table = try Tool.run("eval", package, source, "-d", text, "--markdown").out.split(separator: "\n")
    #expect(table.count > 10 && table.allSatisfy { $0.hasPrefix("|") && $0.hasSuffix("|") })
  }

  @Test(arguments: [
    (["--html", "x.html"], 2), (["--markdown"], 2), (["--soc", "Ascend310"], 4), (["--dequantize", "--soc", "a5"], 2),
  ])
  func refuses(_ options: [String], _ status: Int) throws {
    let result = try Tool.run(["eval", source, "-d", try text()] + options)
    #expect(result.status == Int32(status) && !result.error.isEmpty)
  }
}
