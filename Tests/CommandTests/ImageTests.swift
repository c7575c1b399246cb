import Foundation
import Tensors
import Testing

/// `image` with a tiny GLM-Image, held against the pictures that diffusers makes with it.
struct ImageTests {
  let folder: Scratch
  static let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .appendingPathComponent("../../fixtures/image").standardized.path
  static let size = ["--width", "96", "--height", "64", "--steps", "3"]
  /// The noise that the reference started from.
  static let noise = ["--latents", path("ref/noise.npy")]

  init() throws { folder = try Scratch() }

  private static func path(_ file: String) -> String { fixtures + "/" + file }

  private func picture(_ model: String, _ reference: String, _ arguments: [String]) throws -> Tool.Outcome {
    let expected = ["--json", "--reference", ImageTests.path("ref/\(reference).png")]
    return try Tool.run(
      ["image", model, "-o", folder["\(reference).png"]] + expected + ImageTests.size + ImageTests.noise + arguments)
  }

  private static let quoted = "A sign 'ok' and \"Hi 你\""

  @Test(arguments: [
    ("t2i", ["-p", quoted]),
    ("plain", ["-p", "the cat on it", "--guidance", "1"]),
    ("edit", ["-p", "the cat on it", "--image", path("ref/source.png")]),
    ("t2i", ["-p", quoted, "--no-fuse"]),
  ])
  func makesThePicturesOfDiffusers(_ reference: String, _ arguments: [String]) throws {
    let result = try picture(ImageTests.path("model"), reference, arguments)
    #expect(result.status == 0, "\(result.error)")
    let json = try result.json
    #expect(json["schema"]?.string == "bessemer.image/1" && json["width"]?.int == 96 && json["height"]?.int == 64)
    #expect(json["reference"]?["largest_difference"]?.int ?? 9 <= 1)
    let stages = try #require(json["stages"]).elements.compactMap { $0["stage"]?.string }
    #expect(stages == (reference == "edit" ? ["pictures"] : []) + ["glyphs", "tokens", "latents", "decoding"])
  }

  @Test func makesTheSameFromBundles() throws {
    let (bundle, packed) = (folder["b"], folder["p"])
    #expect(try Tool.run("export", ImageTests.path("model"), bundle).status == 0)
    #expect(try Tool.run("verify", bundle).status == 0)
    #expect(try Tool.run("pack", bundle, packed).status == 0)
    for model in [bundle, packed] {
      let arguments = ["-p", "the cat on it", "--image", ImageTests.path("ref/source.png"), "--overwrite"]
      #expect(try picture(model, "edit", arguments).status == 0)
    }
    let inspection = try Tool.run("inspect", bundle, "--graph", "--json").json
    #expect(inspection["components"]?.count == 6)
  }

  @Test func countsTheWeightsOfEachGraphAndOfEachCheckpoint() throws {
    let graphs = try Tool.run("inspect", ImageTests.path("model"), "--graph", "--json").json
    let tensors = try Tool.run("inspect", ImageTests.path("model"), "--json").json
    let checkpoints = try #require(graphs["checkpoints"]?.elements)
    let names = ["text_encoder", "transformer", "vae", "vision_language_encoder"]
    #expect(checkpoints.map { $0["name"]?.string } == names)
    for key in ["tensors", "parameters", "bytes"] {
      #expect(checkpoints.reduce(0) { $0 + ($1[key]?.int ?? 0) } == tensors["total"]?[key]?.int)
    }
    // Both graphs of the autoencoder together read all of it.
    let vae = graphs["components"]?.elements.filter { $0["name"]?.string?.hasPrefix("vae/") == true } ?? []
    let parameters = vae.reduce(0) { $0 + ($1["cost"]?["parameters"]?.int ?? 0) }
    #expect(vae.count == 2 && parameters == Array(checkpoints)[2]["parameters"]?.int)
  }

  @Test func theSeedDecides() throws {
    func bytes(_ seed: String) throws -> Data? {
      let out = folder["\(seed).png"]
      let arguments = ["image", ImageTests.path("model"), "-p", "x", "-o", out, "--seed", seed, "--overwrite"]
      #expect(try Tool.run(arguments + ImageTests.size).status == 0)
      return FileManager.default.contents(atPath: out)
    }
    let first = try #require(try bytes("1"))
    #expect(try bytes("1") == first)
    #expect(try bytes("2") != first)
  }

  @Test func savesWhatStandsBetweenTheStages() throws {
    #expect(
      try picture(ImageTests.path("model"), "t2i", ["-p", ImageTests.quoted, "--save-stages", folder["s"]]).status == 0)
    let names = try FileManager.default.contentsOfDirectory(atPath: folder["s"])
    for name in ["prompt_embeds", "generated_tokens", "prior_token_ids", "latents.2", "dit_call.5", "vae_raw"] {
      #expect(names.contains(name + ".npy"))
    }
  }

  @Test func saysAtOnceWhatCannotBe() throws {
    let model = ImageTests.path("model")
    func expect(_ status: Int32, _ words: String, _ arguments: [String]) throws {
      let result = try Tool.run(["image", model, "-o", folder["x.png"]] + arguments)
      #expect(result.status == status && result.error.contains(words), "\(arguments): \(result.error)")
      #expect(!FileManager.default.fileExists(atPath: folder["x.png"]))
    }
    try expect(2, "multiple of 32", ["-p", "x", "--width", "100"])
    try expect(2, "--steps", ["-p", "x", "--steps", "0"])
    try expect(2, "prompt", [])
    try expect(3, "expected f32[1,4,12,12]", ["-p", "x", "--width", "96", "--height", "96"] + ImageTests.noise)
    try expect(3, "no PNG", ["-p", "x", "--image", ImageTests.path("ref/noise.npy")])
    try expect(5, "at most", ["-p", "x", "--width", "65536", "--height", "65536"])
    let other = try Tool.run("image", TinyModel().write(to: folder, "m"), "-p", "x", "-o", folder["x.png"])
    #expect(other.status == 4 && other.error.contains("makes no pictures"))
    // Another picture than the reference's is written, and said to be another.
    let result = try picture(model, "plain", ["-p", ImageTests.quoted])
    #expect(try result.status == 1 && result.json["reference"]?["largest_difference"]?.int ?? 0 > 1)
  }
}
