import Digests
import Glibc
import IR
import Tensors
import TestSupport
import Testing

@testable import Bundle

/// Bundles that were damaged or made by someone who means no good.
@Suite struct DamageTests {
  /// Opens, loads everything and verifies.
  static func use(_ path: String) throws {
    let bundle = try Bundle(path: path)
    for entry in bundle.weights.entries { _ = try entry.tensor() }
    for name in bundle.fileNames { _ = try bundle.file(name) }
    try bundle.verify()
  }

  @Test(arguments: BundleTests.Form.allCases) func noticesEveryByte(_ form: BundleTests.Form) throws {
    let scratch = Scratch()
    let path = try BundleTests.write(form, scratch)
    try DamageTests.use(path)
    var random = SplitMix64(seed: 1)
    let isFolder = form == .plain || form == .sharded || form == .compressed
    let files = isFolder ? Scratch.names(path).map { path + "/" + $0 } : [path]
    for file in files {
      let good = try InputFile.contents(of: file).array
      let spots = [0, good.count - 1] + (0..<20).map { _ in Int.random(in: good.indices, using: &random) }
      for spot in spots {
        var bad = good
        bad[spot] ^= 1 << UInt8.random(in: 0..<8, using: &random)
        try Scratch.put(file, bad)
        #expect(code { try DamageTests.use(path) } != nil, "\(file) byte \(spot)")
      }
      for bad in [Array(good.dropLast()), good + [0], []] {
        try Scratch.put(file, bad)
        #expect(code { try DamageTests.use(path) } != nil, "\(file) of \(bad.count) bytes instead of \(good.count)")
      }
      try Scratch.put(file, good)
      guard isFolder else { continue }
      unlink(file)
      #expect(code { try DamageTests.use(path) } != nil, "\(file) gone")
      symlink("/etc/passwd", file)
      #expect(code { try DamageTests.use(path) } != nil, "\(file) a link")
      unlink(file)
      try Scratch.put(file, good)
    }
    try DamageTests.use(path)
  }

  @Test func damagedWeightsAreFoundByVerify() throws {
    let scratch = Scratch()
    let path = try BundleTests.write(.plain, scratch)
    var bytes = try InputFile.contents(of: path + "/weights.safetensors").array
    bytes[bytes.count - 1] ^= 1
    try Scratch.put(path + "/weights.safetensors", bytes)
    let bundle = try Bundle(path: path)
    do {
      try bundle.verify()
      Issue.record("not noticed")
    } catch let error as BessemerError {
      #expect(error.code == .digest && error.file == path + "/weights.safetensors")
    }
  }

  @Test func damagedFramesAreFoundWhenLoaded() throws {
    let scratch = Scratch()
    let path = try BundleTests.write(.compressed, scratch)
    let file = path + "/weights.bsz"
    let good = try InputFile.contents(of: file).array
    for spot in 64..<good.count where spot % 7 == 0 {
      var bad = good
      bad[spot] ^= 4
      try Scratch.put(file, bad)
      let bundle = try Bundle(path: path)
      let codes = bundle.weights.entries.compactMap { entry in code { _ = try entry.tensor() } }
      #expect(codes.count == 1 && codes.allSatisfy { $0 == .digest || $0 == .bundle }, "byte \(spot): \(codes)")
    }
  }

  @Test func refusesWhatIsNotListed() throws {
    let scratch = Scratch()
    let path = try BundleTests.write(.plain, scratch)
    try Scratch.put(path + "/more.txt", [1])
    #expect(code { try DamageTests.use(path) } == .bundle)
  }

  @Test func memoryLimit() throws {
    let scratch = Scratch()
    let bundle = try Bundle(path: BundleTests.write(.compressed, scratch), memoryLimit: 2000)
    #expect(code { _ = try bundle.weights.tensor("model.embed.weight") } == nil)
    #expect(code { _ = try bundle.weights.tensor("model.layers.0.attn.qkv.weight") } == .memory)
  }

  @Test func notABundle() throws {
    let scratch = Scratch()
    #expect(code { _ = try Bundle(path: scratch("none")) } == .fileMissing)
    #expect(code { _ = try Bundle(path: scratch.path) } == .wrongFormat)
    try Scratch.put(scratch("file"), Array("some text".utf8))
    #expect(code { _ = try Bundle(path: scratch("file")) } == .wrongFormat)
    #expect(!Bundle.isBundle(scratch("file")) && !Bundle.isBundle(scratch.path) && !Bundle.isBundle(scratch("none")))
  }

  // MARK: Manifests that say something else, with a right digest

  /// The manifest of a good bundle with a text replaced, signed again.
  static func forge(_ text: String, _ old: String, _ new: String) throws -> [UInt8] {
    let changed = text.replacing(old, with: new)
    #expect(changed != text, "\(old) is not there")
    let end = try #require(changed.ranges(of: "\"sha256\": ").last).upperBound
    let body = Array(changed[..<end].utf8)
    return body + Array("\"\(try SHA256.digest(of: Bytes(body)))\"\n}\n".utf8)
  }

  static let forgeries: [(old: String, new: String, code: ErrorCode)] = [
    ("\"format_version\": 1", "\"format_version\": 3", .unsupportedFeature),
    ("\"format_version\": 1", "\"format_version\": 2", .bundle),
    ("\"bessemer-bundle\"", "\"other\"", .wrongFormat),
    ("\"model_type\"", "\"model_typo\"", .bundle),
    ("\"name\": \"config.json\"", "\"name\": \"../config.json\"", .pathEscape),
    ("\"name\": \"config.json\"", "\"name\": \"/etc/passwd\"", .pathEscape),
    ("\"name\": \"config.json\"", "\"name\": \"a/b\"", .pathEscape),
    ("\"name\": \"config.json\"", "\"name\": \"tokenizer.json\"", .duplicateName),
    ("\"name\": \"config.json\"", "\"name\": \"absent\"", .bundle),
    ("\"name\": \"config.json\"", "\"name\": \"manifest.json\"", .bundle),
    ("\"byte_count\": 3", "\"byte_count\": -3", .json),
    ("\"byte_count\": 3", "\"byte_count\": 4", .bundle),
    ("\"tensor_count\": 6", "\"tensor_count\": 7", .bundle),
    ("i64[sequence]", "i64[sequences]", .bundle),
    ("[72, 24]", "[71, 24]", .weights),
    ("[72, 24]", "[720, 24]", .tensorLayout),
    ("[72, 24]", "[281474976710656, 281474976710656]", .tensorLayout),
    ("\"model.layers.0.attn.qkv.weight\"", "\"nothing\"", .bundle),
    ("\"panels\"", "\"tiles\"", .unsupportedFeature),
    ("\"container\": \"safetensors\"", "\"container\": \"zstd\"", .bundle),
    ("\"container\": \"safetensors\"", "\"container\": \"tar\"", .unsupportedFeature),
    ("[\"weights.safetensors\"]", "[\"weights.safetensors\", \"weights.safetensors\"]", .duplicateName),
    ("[\"weights.safetensors\"]", "[]", .bundle),
    ("[\"weights.safetensors\"]", "[\"config.json\"]", .header),
  ]

  @Test(arguments: forgeries.indices) func forgedManifest(_ number: Int) throws {
    let (old, new, expected) = DamageTests.forgeries[number]
    let scratch = Scratch()
    let path = try BundleTests.write(.plain, scratch)
    let text = String(decoding: try InputFile.contents(of: path + "/manifest.json").array, as: UTF8.self)
    try Scratch.put(path + "/manifest.json", try DamageTests.forge(text, old, new))
    let found = code { try DamageTests.use(path) }
    #expect(found == expected || expected == .header && found != nil, "\(old) -> \(new): \(String(describing: found))")
  }

  // MARK: Compressed weights that say something else

  static let indices: [(old: String, new: String, code: ErrorCode)] = [
    ("\"version\": 1", "\"version\": 9", .unsupportedFeature),
    ("\"piece\": 1048576", "\"piece\": 1048575", .tensorLayout),
    ("\"piece\": 1048576", "\"piece\": 1", .tensorLayout),
    ("\"piece\": 1048576", "\"piece\": 1099511627776", .json),
    ("\"shape\": [40, 24]", "\"shape\": [40000000, 24]", .tensorLayout),
    ("\"frames\": [", "\"frames\": [1, ", .tensorLayout),
    ("\"frames\": [", "\"frames\": [99", .json),
    ("\"layout\": \"panels\"", "\"layout\": \"row-major\"", .bundle),
    ("\"dtype\": \"bf16\"", "\"dtype\": \"f32\"", .bundle),
  ]

  @Test(arguments: indices.indices) func forgedIndex(_ number: Int) throws {
    let (old, new, expected) = DamageTests.indices[number]
    let scratch = Scratch()
    let path = try BundleTests.write(.compressed, scratch)
    let text = String(decoding: try InputFile.contents(of: path + "/weights.bsz.json").array, as: UTF8.self)
    let data = try InputFile.contents(of: path + "/weights.bsz")
    #expect(text.contains(old))
    let changed = Bytes(Array(text.replacing(old, with: new).utf8))
    let found = code {
      let store = try CompressedWeights.read(index: changed, data: data, file: "", threads: 2, memoryLimit: 1 << 24)
      for entry in store.entries { _ = try entry.tensor() }
    }
    #expect(found == expected, "\(old) -> \(new): \(String(describing: found))")
  }

  // MARK: Random changes that no digest gives away

  /// The bytes with one to four changes: bits, bytes, cuts, doubled parts.
  static func mutated(_ bytes: [UInt8], _ random: inout SplitMix64) -> [UInt8] {
    var bytes = bytes
    for _ in 0..<Int.random(in: 1...4, using: &random) where !bytes.isEmpty {
      let at = Int.random(in: bytes.indices, using: &random)
      let end = min(bytes.count, at + Int.random(in: 1...12, using: &random))
      switch Int.random(in: 0..<5, using: &random) {
      case 0: bytes[at] ^= 1 << UInt8.random(in: 0..<8, using: &random)
      case 1: bytes[at] = Array("0123456789-[]{},:\"e.".utf8).randomElement(using: &random)!
      case 2: bytes.removeSubrange(at..<end)
      case 3: bytes.insert(contentsOf: bytes[at..<end], at: at)
      default: bytes.replaceSubrange(at..<end, with: Array("9223372036854775807".utf8))
      }
    }
    return bytes
  }

  /// Reads mutants: typed errors are right, and so is no error; anything else ends the process.
  static func expectTyped(_ seed: UInt64, _ body: () throws -> Void) {
    do { try body() } catch is BessemerError {} catch { Issue.record("seed \(seed): \(error)") }
  }

  @Test func mutants() throws {
    let scratch = Scratch()
    let path = try BundleTests.write(.compressed, scratch)
    let manifest = try InputFile.contents(of: path + "/manifest.json").array
    let index = try InputFile.contents(of: path + "/weights.bsz.json").array
    let graph = try InputFile.contents(of: path + "/graph.txt").array
    let data = try InputFile.contents(of: path + "/weights.bsz")
    let end = try #require(String(decoding: manifest, as: UTF8.self).ranges(of: "\"sha256\": ").last).upperBound
    let body = Array(String(decoding: manifest, as: UTF8.self)[..<end].utf8)
    for seed in UInt64(0)..<400 {
      var random = SplitMix64(seed: seed)
      DamageTests.expectTyped(seed) {
        let text = DamageTests.mutated(body, &random)
        _ = try BundleManifest(text: Bytes(text + Array("\"\(try SHA256.digest(of: Bytes(text)))\"\n}\n".utf8)))
      }
      DamageTests.expectTyped(seed) {
        let store = try CompressedWeights.read(
          index: Bytes(DamageTests.mutated(index, &random)), data: data, file: "", threads: 1, memoryLimit: 1 << 22)
        for entry in store.entries { _ = try entry.tensor() }
      }
      DamageTests.expectTyped(seed) {
        _ = try Graph(text: String(decoding: DamageTests.mutated(graph, &random), as: UTF8.self))
      }
    }
  }

  @Test(arguments: [false, true]) func emptyTensors(compress: Bool) throws {
    let scratch = Scratch()
    var store = TensorStore()
    try store.append("none", Tensor(.bfloat16, shape: [0, 4], bytes: Bytes([])))
    var graph = Graph(name: "empty")
    graph.addOutput("y", try graph.add(Weight("none", .bfloat16, shape: [0, 4]))[0])
    try BundleWriter(BundleContents(parts: [.init(graph: graph, weights: store)], modelType: "", toolVersion: ""))
      .write(to: scratch("b"), compress: compress, threads: 2)
    #expect(try Bundle(path: scratch("b")).weights.tensor("none").shape == [0, 4])
    // And no tensor at all.
    let nothing = BundleContents(
      parts: [.init(graph: Graph(name: ""), weights: store)], modelType: "", toolVersion: "")
    try BundleWriter(nothing).write(to: scratch("c"), compress: compress)
    #expect(try Bundle(path: scratch("c")).weights.entries.isEmpty)
  }
}
