import IR
import TestSupport
import Tensors
import Testing

@testable import Bundle

/// Bundles of format version 2: several graphs, each with files of its own.
@Suite struct SeveralGraphsTests {
  /// Two graphs that read weights of the same name with different values.
  static func contents() throws -> BundleContents {
    let parts = try ["transformer", "vae/decoder"].enumerated().map { k, name in
      var store = TensorStore()
      try store.append("w", Tensor([Float(k), Float(k) + 0.3], shape: [2]))
      var graph = Graph(name: name)
      let weight = try graph.add(Weight("w", .float32, shape: [2]))[0]
      graph.addOutput("y", try graph.add(Cast(to: .bfloat16), [weight])[0])
      return BundleContents.Part(name: name, graph: graph, weights: store)
    }
    return BundleContents(
      parts: parts, modelType: "pipeline", files: [("vae-config.json", Bytes(Array("{}".utf8)))], toolVersion: "1")
  }

  private static func write(_ scratch: Scratch, compress: Bool) throws -> String {
    try BundleWriter(contents()).write(to: scratch("b"), compress: compress)
    return scratch("b")
  }

  @Test(arguments: [false, true], [false, true]) func readsWhatWasWritten(compress: Bool, packed: Bool) throws {
    let scratch = Scratch()
    var path = try SeveralGraphsTests.write(scratch, compress: compress)
    let weights = compress ? "weights.bsz" : "weights.safetensors"
    let names = Scratch.names(path)
    for name in ["transformer.graph.txt", "transformer.\(weights)", "vae-decoder.graph.txt", "vae-decoder.\(weights)"] {
      #expect(names.contains(name))
    }
    if packed {
      try Bundle.pack(path, to: scratch("p"))
      path = scratch("p")
    }
    let bundle = try Bundle(path: path)
    #expect(bundle.manifest.formatVersion == 2)
    #expect(bundle.parts.map(\.name) == ["transformer", "vae/decoder"])
    #expect(bundle.fileNames == ["vae-config.json"])
    for (k, part) in bundle.parts.enumerated() {
      let expected = try Tensor([Float(k), Float(k) + 0.3], shape: [2]).cast(to: .bfloat16)
      #expect(try Interpreter(part.graph, weight: { try part.weights.tensor($0) }).run([:]).outputs["y"] == expected)
    }
    #expect(bundle.manifest.provenance.losses.map(\.tensor) == ["transformer/w", "vae/decoder/w"])
    try bundle.verify()
  }

  @Test func oneGraphUnderAnotherNameIsKept() throws {
    let scratch = Scratch()
    var contents = try SeveralGraphsTests.contents()
    contents.parts.removeLast()
    try BundleWriter(contents).write(to: scratch("b"))
    let bundle = try Bundle(path: scratch("b"))
    #expect(bundle.parts.map(\.name) == ["transformer"] && bundle.manifest.formatVersion == 2)
  }

  @Test func refusesNamesThatCollide() throws {
    var contents = try SeveralGraphsTests.contents()
    contents.parts[1].name = "transformer"
    #expect(code { _ = try BundleWriter(contents) } == .usage)
    contents.parts[1].name = "a/../b"
    #expect(code { _ = try BundleWriter(contents) } == nil)
    contents.parts[1].name = "../b"
    #expect(code { _ = try BundleWriter(contents) } == .pathEscape)
    contents.parts[1].name = "vae/decoder"
    contents.files = [("vae-decoder.weights-x", Bytes([]))]
    #expect(code { _ = try BundleWriter(contents) } == .usage)
  }

  static let forgeries: [(old: String, new: String, code: ErrorCode)] = [
    ("\"format_version\": 2", "\"format_version\": 1", .bundle),
    ("\"name\": \"vae/decoder\"", "\"name\": \"transformer\"", .duplicateName),
    ("\"file\": \"vae-decoder.graph.txt\"", "\"file\": \"transformer.graph.txt\"", .duplicateName),
    ("\"file\": \"vae-decoder.graph.txt\"", "\"file\": \"absent\"", .bundle),
    ("\"file\": \"vae-decoder.graph.txt\"", "\"file\": \"vae-config.json\"", .graphText),
    ("[\"vae-decoder.weights.safetensors\"]", "[\"transformer.weights.safetensors\"]", .duplicateName),
    ("\"tensor_count\": 1", "\"tensor_count\": 2", .bundle),
    ("\"graphs\"", "\"graph\"", .bundle),
  ]

  @Test(arguments: forgeries.indices) func refusesForgedManifests(_ k: Int) throws {
    let scratch = Scratch()
    let path = try SeveralGraphsTests.write(scratch, compress: false)
    let (old, new, expected) = SeveralGraphsTests.forgeries[k]
    let text = String(decoding: try #require(Scratch.contents(path)["manifest.json"]), as: UTF8.self)
    try Scratch.put(path + "/manifest.json", DamageTests.forge(text, old, new))
    #expect(code { _ = try Bundle(path: path) } == expected, "\(old) to \(new)")
  }
}
