import Foundation
import Safetensors
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

  @Test func selectsUnderAnotherName() throws {
    let model = try TinyModel().write(to: folder, "m")
    #expect(
      try Tool.run("inspect", model, "--only", "*norm*").out == Tool.run("inspect", model, "--tensors", "*norm*").out)
  }

  @Test func boundsTheWorkOfExpressions() throws {
    let names = (0..<20).map { #""\#(String(repeating: "a", count: 500))\#($0)":"# }
    let entries = names.enumerated().map {
      #"\#($1){"dtype":"U8","shape":[1],"data_offsets":[\#($0),\#($0 + 1)]}"#
    }
    let header = "{" + entries.joined(separator: ",") + "}"
    var bytes = withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian) { Data($0) }
    bytes += Data(header.utf8) + Data(count: 20)
    try bytes.write(to: URL(fileURLWithPath: folder["x.safetensors"]))
    let result = try Tool.run("inspect", folder["x.safetensors"], "--only", "/(a|aa)+b/")
    #expect(result.status == 5 && result.error.contains("[limit]"))
  }

  @Test func showsWhatValuesComeTo() throws {
    let path = try write([
      ("a", try Tensor(.bfloat16, shape: [2, 3], doubles: [1, -0.0, .nan, .infinity, -.infinity, 5])),
      ("b", try Tensor(.int8, shape: [4], integers: [-3, 0, 0, 5])), ("c", Tensor([Float](), shape: [0])),
    ])
    let tensors = try #require(try Tool.run("inspect", path, "--stats", "--json").json["tensors"])
    let keys = ["min", "max", "mean", "deviation", "zeros", "nan", "inf"]
    let values = tensors.elements.map { tensor in keys.map { tensor["stats"]?[$0]?.double } }
    // By hand: 0, 1 and 5 are finite, their variance is 14/3; that of -3, 0, 0 and 5 is 8.25.
    #expect(values[0].map { $0.map { Float($0) } } == [0, 5, 2, Float(14.0 / 3).squareRoot(), 1, 1, 2])
    #expect(values[1] == [-3, 5, 0.5, 8.25.squareRoot(), 2, 0, 0])
    #expect(values[2] == [nil, nil, nil, nil, 0, 0, 0])
    let lines = try Tool.run("inspect", path, "--stats").out.split(separator: "\n").map { $0.split(separator: " ") }
    #expect(lines[0] == ["name", "type", "shape", "size", "min", "max", "mean", "deviation", "zeros", "NaN", "Inf"])
    #expect(lines[2] == ["b", "i8", "[4]", "4", "B", "-3.000", "5.000", "0.5000", "2.872", "2", "0", "0"])
  }

  @Test func digestsAreTheSameInEveryFormat() throws {
    let large = Tensor((0..<1_000_500).map { Float($0) * 0.37 }, shape: [500, 2001])
    let path = try write([
      ("b", large), ("a", try Tensor(.float16, shape: [3, 1], doubles: [1, 0.5, -7])),
      ("tied", large), ("n", Tensor([Int64](1...5), shape: [5])),
    ])
    let plain = try Tool.run("inspect", path, "--digest", "--stats", "--json").json
    let digest = try #require(plain["digest"]?.string)
    #expect(plain["shared"]?[0]?["tensors"]?.elements.map(\.string) == ["b", "tied"])
    #expect(try Tool.run("inspect", path, "--digest").out.contains("\ndigest  \(digest)\n"))
    func digests(_ json: JSON) -> [String: String] {
      Dictionary(
        uniqueKeysWithValues: json["tensors"]?.elements.map { ($0["name"]?.string ?? "", $0["digest"]?.string ?? "") }
          ?? [])
    }
    for name in ["y.npz", "y.ckpt"] {
      #expect(try Tool.run("convert", path, folder[name]).status == 0)
      let other = try Tool.run("inspect", folder[name], "--digest", "--json", "--threads", "1").json
      #expect(other["digest"]?.string == digest && digests(other) == digests(plain))
    }
    #expect(Set(digests(plain).values).count == 3)
    #expect(try Tool.run("inspect", path, "--digest", "--only", "?", "--json").json["digest"]?.string != digest)
  }

  private func write(_ tensors: [(String, Tensor)]) throws -> String {
    let entries = tensors.map { name, tensor in
      SafetensorsWriter.Entry(TensorName(name), tensor.dtype, shape: tensor.shape) { try $0.write(tensor.bytes) }
    }
    try SafetensorsWriter(entries, order: .given).write(to: folder["x.safetensors"], overwrite: true)
    return folder["x.safetensors"]
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
