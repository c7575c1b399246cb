import Foundation
import Tensors
import Testing

/// `inspect` as a new user would try it.
struct InspectTests {
  let folder: Scratch

  init() throws { folder = try Scratch() }

  @Test func listsTensorsAlignedAndSumsUp() throws {
    let result = try Tool.run("inspect", try TinyModel().write(to: folder, "m"))
    let lines = result.out.split(separator: "\n")
    #expect(result.status == 0 && result.error.isEmpty)
    #expect(lines.count == 13)
    #expect(lines.first == "model.embed_tokens.weight                       f32  [16,8]  512 B")
    #expect(lines.dropLast().last == "11 tensors, 792 parameters, 3.09 KiB: 11 f32 (3.09 KiB)")
    #expect(lines.last == "1 file; no metadata; llama for text-generation, every tensor accounted for")
  }

  @Test(arguments: ["ls", "dump"]) func hasAliases(_ alias: String) throws {
    let model = try TinyModel().write(to: folder, "m")
    #expect(try Tool.run(alias, model).out == Tool.run("inspect", model).out)
  }

  @Test func takesFilesAndFoldersAlike() throws {
    let model = try TinyModel().write(to: folder, "m")
    let file = try Tool.run("inspect", model + "/model.safetensors", "--json").json
    let whole = try Tool.run("inspect", model, "--json").json
    #expect(whole["schema"]?.string == "bessemer.inspect/1")
    #expect(whole["tensors"]?.count == 11 && file["tensors"]?.count == 11)
    #expect(whole["total"]?["bytes"]?.int == 3168)
    #expect(whole["model"]?["type"]?.string == "llama")
    #expect(file["model"]?.isNull == true)
  }

  @Test(arguments: [("*norm*", 3), ("model.layers.?.mlp.*", 3), ("/q_proj|k_proj/", 2), ("model.norm.weight", 1)])
  func selects(_ pattern: String, _ count: Int) throws {
    let model = try TinyModel().write(to: folder, "m")
    #expect(try Tool.run("inspect", model, "--tensors", pattern, "--json").json["tensors"]?.count == count)
  }

  @Test(arguments: ["*nothing*", "/[/"]) func refusesSelectorsThatMatchNothing(_ pattern: String) throws {
    let result = try Tool.run("inspect", TinyModel().write(to: folder, "m"), "--tensors", pattern)
    #expect(result.status == 2 && result.out.isEmpty)
    #expect(result.error.contains(pattern))
  }

  @Test func showsTheGraph() throws {
    let result = try Tool.run("inspect", TinyModel().write(to: folder, "m"), "--graph")
    #expect(result.status == 0)
    #expect(result.out.contains("input_ids") && result.out.contains("logits") && result.out.contains("matmul"))
  }

  @Test func escapesNames() throws {
    let header = #"{"a\u001b[31m\nb":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#
    var bytes = withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian) { Data($0) }
    bytes += Data(header.utf8) + [7]
    try bytes.write(to: URL(fileURLWithPath: folder["x.safetensors"]))
    let result = try Tool.run("inspect", folder["x.safetensors"])
    #expect(result.status == 0 && result.out.hasPrefix(#"a\u{1b}[31m\u{a}b  u8"#))
  }

  // MARK: What goes wrong

  @Test func saysThatAFileIsMissing() throws {
    let result = try Tool.run("inspect", folder["no.safetensors"])
    #expect(result.status == 3)
    #expect(result.error == "error: \(folder["no.safetensors"]): no such file [file-missing]\n")
  }

  @Test func saysWhatAModelFolderNeeds() throws {
    let model = try TinyModel().write(to: folder, "m")
    try FileManager.default.removeItem(atPath: model + "/config.json")
    let result = try Tool.run("inspect", model)
    #expect(result.status == 3 && result.out.isEmpty)
    #expect(result.error.contains("config.json and *.safetensors") && result.error.contains("--weights-only"))
    #expect(try Tool.run("inspect", model, "--weights-only").status == 0)
  }

  @Test func refusesTruncatedWeights() throws {
    let model = try TinyModel().write(to: folder, "m")
    let handle = try #require(FileHandle(forWritingAtPath: model + "/model.safetensors"))
    try handle.truncate(atOffset: 3000)
    let result = try Tool.run("inspect", model)
    #expect(result.status == 3 && result.out.isEmpty)
    #expect(result.error.contains("model.safetensors"))
  }

  @Test func listsModelTypesForAnUnknownOne() throws {
    let result = try Tool.run("inspect", TinyModel(modelType: "elephant").write(to: folder, "m"))
    #expect(result.status == 4)
    #expect(result.error.contains("elephant") && result.error.contains("glm4"))
  }

  @Test func listsEveryWeightProblemAtOnce() throws {
    let model = try TinyModel().write(to: folder, "m")
    try folder.write("m/config.json", TinyModel(layers: 2).config)
    let result = try Tool.run("inspect", model, "--verbose")
    #expect(result.status == 3)
    let lines = result.error.split(separator: "\n")
    #expect(lines.count == 10 && lines[0].contains("9 missing") && lines[1].contains("missing: model.layers.1"))
  }

  @Test func refusesLaxJSON() throws {
    let model = try TinyModel().write(to: folder, "m")
    try folder.write("m/config.json", "{\"model_type\": \"llama\", \"hidden_size\": NaN}")
    let result = try Tool.run("inspect", model, "--json")
    #expect(result.status == 3)
    #expect(try result.json["code"]?.string == "json")
    #expect(try result.json["file"]?.string == model + "/config.json")
  }
}
