import Foundation
import Tensors
import Testing

/// Folders of several models, as every command sees them.
struct PipelineTests {
  let folder: Scratch

  init() throws { folder = try Scratch() }

  /// A pipeline of a tiny text model, under this index.
  private func pipeline(_ index: String) throws -> String {
    _ = try TinyModel().write(to: folder, "p/text")
    try folder.write("p/model_index.json", index)
    return folder["p"]
  }

  private static let good = #"{"_class_name": "Mine", "text": ["transformers", "Glm"], "none": [null, null], "n": 3}"#

  @Test func componentsAreNamedByTheirFolders() throws {
    let path = try pipeline(PipelineTests.good)
    let inspection = try Tool.run("inspect", path)
    #expect(inspection.status == 0 && inspection.out.contains("text/model.embed_tokens.weight"))
    #expect(inspection.out.contains("Mine for text-generation, every tensor accounted for"))
    #expect(try Tool.run("inspect", path + "/model_index.json").out == inspection.out)
    #expect(try Tool.run("graph", "passes", path, "--component", "text").status == 0)
    let other = try Tool.run("graph", "print", path, "--component", "vae")
    #expect(other.status == 2 && other.error.contains("it has text"))
    #expect(try Tool.run("export", path, folder["b"]).status == 0)
    let compared = try Tool.run("compare", path, folder["b"])
    #expect(compared.status == 0, "\(compared.error)")
    #expect(try Tool.run("inspect", "--graph", folder["b"]).out.contains("rms_norm"))
  }

  @Test(arguments: [
    (#"{"_class_name": "Mine", "../text": ["a", "b"]}"#, Int32(3), "path-escape"),
    (#"{"_class_name": "Mine", "/etc": ["a", "b"]}"#, 3, "path-escape"),
    (#"{"_class_name": "Mine", "..": ["a", "b"]}"#, 3, "path-escape"),
    (#"{"_class_name": "Mine", "absent": ["a", "b"]}"#, 3, "file-missing"),
    (#"{"_class_name": "Mine"}"#, 3, "config"), (#"{"text": ["a", "b"]}"#, 3, "config"), ("[]", 3, "config"),
    (#"{"_class_name""#, 3, "json"), (good.replacingOccurrences(of: "\"n\"", with: "\"text\""), 3, "json"),
  ])
  func indicesThatCannotBe(_ index: String, _ status: Int32, _ code: String) throws {
    let result = try Tool.run("inspect", pipeline(index))
    #expect(result.status == status && result.error.contains("[\(code)]"), "\(result.error)")
  }
}
