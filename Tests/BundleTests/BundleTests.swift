import Glibc
import IR
import Safetensors
import Tensors
import TestSupport
import Testing

@testable import Bundle

@Suite struct BundleTests {
  enum Form: String, CaseIterable { case plain, sharded, compressed, packed, packedCompressed }

  /// Writes the model in a form and returns its path.
  static func write(_ form: Form, _ scratch: Scratch, threads: Int = 2, rows: Int = 1) throws -> String {
    let contents = try Model.contents(rows: rows)
    let writer =
      form == .sharded ? try BundleWriter(contents, shardByteCount: 4000) : try BundleWriter(contents)
    let isPacked = form == .packed || form == .packedCompressed
    let path = scratch(isPacked ? "folder" : "bundle")
    try writer.write(to: path, compress: form == .compressed || form == .packedCompressed, threads: threads)
    guard isPacked else { return path }
    try Bundle.pack(path, to: scratch("bundle"))
    return scratch("bundle")
  }

  @Test(arguments: Form.allCases) func readsWhatWasWritten(_ form: Form) throws {
    let scratch = Scratch()
    let contents = try Model.contents()
    let writer = try BundleWriter(contents)
    let path = try BundleTests.write(form, scratch)
    #expect(Bundle.isBundle(path))
    let bundle = try Bundle(path: path, threads: 2)
    let part = contents.parts[0]
    #expect(bundle.graph.text == writer.graphs[0].text)
    #expect(try Model.run(bundle.graph, bundle.weights) == Model.run(part.graph, part.weights))
    #expect(bundle.fileNames == ["config.json", "tokenizer.json"])
    #expect(try bundle.file("config.json").array == Array("{}\n".utf8))
    #expect(code { _ = try bundle.file("absent") } == .fileMissing)
    #expect(bundle.manifest.modelType == "model" && bundle.manifest.target == "Ascend910B3")
    #expect(bundle.manifest.toolVersion == "1.2.3")
    #expect(bundle.manifest.provenance.options == contents.provenance.options)
    #expect(bundle.manifest.provenance.fusions == ["linear": 3])
    #expect(bundle.manifest.provenance.declined == contents.provenance.declined)
    let reader = ParameterReader(try StoredGraph(part.graph).original, weights: part.weights)
    for (entry, stored) in zip(writer.parts[0].tensors, writer.tensors[0]) {
      let found = try #require(bundle.weights[stored.name])
      let expected = try reader.tensor(entry.value)
      #expect(try found.tensor() == expected, "\(stored.name)")
      #expect(found.layout == stored.layout)
      #expect(try found.packed() == (stored.layout == .panels ? expected.packedPanels() : nil))
    }
    try bundle.verify()
    #expect(Scratch.names(scratch.path).allSatisfy { !$0.hasPrefix(".") })
  }

  @Test func namesAndLayouts() throws {
    let tensors = try BundleWriter(Model.contents()).tensors[0]
    let described = tensors.map { "\($0.name) \(TensorType($0.dtype, shape: $0.shape)) \($0.layout.rawValue)" }
    #expect(
      described.sorted() == [
        "model.embed.weight bf16[40,24] row-major",
        "model.layers.0.attn.qkv.bias f32[72] row-major",
        "model.layers.0.attn.qkv.weight bf16[72,24] panels",
        "model.layers.0.mlp.conv.weight f16[25,40] panels",
        "model.layers.0.mlp.up.weight bf16[40,24] panels",
        "model.scale f32[1] row-major",
      ])
    #expect(WeightNames.joined(["a.gate_proj.w", "a.up_proj.w"]) == "a.gate_up.w")
    #expect(WeightNames.joined(["a.w", "a.w.x"]) == "a.w._x")
    #expect(WeightNames.joined(["left", "right"]) == "left_right")
  }

  @Test func alignsAndPlacesInSafetensors() throws {
    let scratch = Scratch()
    let path = try BundleTests.write(.plain, scratch)
    let file = try SafetensorsFile(path: path + "/weights.safetensors")
    let bytes = try InputFile.contents(of: path + "/weights.safetensors").array
    let header = bytes.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
    for entry in file.header.entries where entry.range.count % 64 == 0 {
      #expect((8 + header + entry.range.lowerBound) % 64 == 0, "\(entry.name)")
    }
  }

  @Test func countsLosses() throws {
    let scratch = Scratch()
    let bundle = try Bundle(path: BundleTests.write(.plain, scratch))
    let compressed = Scratch()
    let losses = bundle.manifest.provenance.losses
    #expect(losses.map(\.tensor) == ["model.embed.weight", "model.layers.0.mlp.up.weight"])
    #expect(losses.allSatisfy { $0.from == .float32 && $0.to == .bfloat16 && $0.count.examined == 960 })
    #expect(losses.allSatisfy { $0.count.changed > 900 && $0.count.overflowed == 0 })
    let other = try Bundle(path: BundleTests.write(.compressed, compressed)).manifest.provenance.losses
    #expect(other == losses)
  }

  @Test(arguments: [false, true]) func sameBytesForAnyThreads(compress: Bool) throws {
    // Tensors of several pieces each.
    let contents = try Model.contents(rows: 700)
    let expected = try contents.parts[0].weights.tensor("model.layers.0.mlp.up.weight").cast(to: .bfloat16)
    let writer = try BundleWriter(contents)
    var first: [String: [UInt8]]?
    for threads in [1, 2, 3, 8] {
      let scratch = Scratch()
      try writer.write(to: scratch("b"), compress: compress, threads: threads)
      let contents = try Scratch.contents(scratch("b"))
      #expect(first == nil || first == contents, "\(threads) threads")
      first = contents
      let bundle = try Bundle(path: scratch("b"), threads: threads)
      #expect(try bundle.weights.tensor("model.layers.0.mlp.up.weight") == expected)
    }
  }

  @Test(arguments: [false, true]) func bundlesABundle(compress: Bool) throws {
    let scratch = Scratch()
    let first = try Bundle(path: BundleTests.write(compress ? .compressed : .plain, scratch))
    let again = BundleContents(
      parts: [.init(graph: first.graph, weights: first.weights)], modelType: "model", toolVersion: "1.2.3")
    try BundleWriter(again).write(to: scratch("again"), compress: compress, threads: 2)
    let second = try Bundle(path: scratch("again"))
    #expect(second.graph.text == first.graph.text)
    for file in first.manifest.graphs[0].weights.files {
      #expect(second.manifest.file(named: file) == first.manifest.file(named: file), "\(file)")
    }
  }

  @Test func unpacksWhatWasPacked() throws {
    let scratch = Scratch()
    let packed = try BundleTests.write(.packed, scratch)
    #expect(code { try Bundle.pack(scratch("folder"), to: packed) } == .outputExists)
    try Bundle.unpack(packed, to: scratch("out"))
    #expect(try Scratch.contents(scratch("out")) == Scratch.contents(scratch("folder")))
  }

  @Test func replacesOnlyBundlesAndPlainFiles() throws {
    let scratch = Scratch()
    let writer = try BundleWriter(Model.contents())
    let path = try BundleTests.write(.plain, scratch)
    #expect(code { try writer.write(to: path) } == .outputExists)
    try writer.write(to: path, overwrite: true)
    _ = try Bundle(path: path)
    mkdir(scratch("other"), 0o755)
    mkdir(scratch("other/papers"), 0o755)
    try Scratch.put(scratch("other/papers/thesis.txt"), [1])
    #expect(code { try writer.write(to: scratch("other"), overwrite: true) } == .outputExists)
    #expect(Scratch.names(scratch("other/papers")) == ["thesis.txt"])
    try writer.write(to: scratch("other/papers"), overwrite: true)
    _ = try Bundle(path: scratch("other/papers"))
  }

  @Test(arguments: [false, true]) func leavesNothingAfterAFailure(compress: Bool) throws {
    let scratch = Scratch()
    var contents = try Model.contents()
    var store = TensorStore()
    for entry in contents.parts[0].weights.entries {
      try store.append(
        TensorStore.Entry(entry.name, entry.dtype, shape: entry.shape, file: "") {
          guard entry.name != "model.layers.0.mlp.up.weight" else { throw BessemerError(.inputChanged, "gone") }
          return try entry.tensor().bytes
        })
    }
    contents.parts[0].weights = store
    let writer = try BundleWriter(contents)
    for threads in [1, 2] {
      #expect(code { try writer.write(to: scratch("b"), compress: compress, threads: threads) } == .inputChanged)
      #expect(Scratch.names(scratch.path) == [])
    }
    contents.files.append(("weights.txt", Bytes([])))
    #expect(code { _ = try BundleWriter(contents) } == .usage)
    contents.files = [("../x", Bytes([]))]
    #expect(code { _ = try BundleWriter(contents) } == .pathEscape)
    contents.parts[0].weights = TensorStore()
    #expect(code { _ = try BundleWriter(contents) } == .weights)
  }
}
