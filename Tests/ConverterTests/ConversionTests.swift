import Checkpoints
import Digests
import TestSupport
import Tensors
import Testing

@testable import Converter

/// What a conversion plans, writes and tells.
@Suite struct ConversionTests {
  private let folder = Scratch()

  /// A safetensors file of random float32 tensors.
  private func weights(_ name: String, _ shapes: [(String, [Int])]) throws -> String {
    var random = SplitMix64(seed: 7)
    let entries = shapes.map { name, shape in
      let values = (0..<shape.reduce(1, *)).map { _ in random.signedUnit() * 1000 }
      let tensor = Tensor(values, shape: shape)
      return CheckpointEntry(TensorName(name), .float32, shape: shape) { try $0.write(tensor.bytes) }
    }
    try SafetensorsFormat().write(entries, metadata: ["k": "v"], to: folder(name), overwrite: false)
    return folder(name)
  }

  private func convert(_ input: String, _ output: String, _ set: (inout ConversionOptions) throws -> Void) throws
    -> (Conversion, [Conversion.Item])
  {
    var options = ConversionOptions()
    try set(&options)
    let conversion = try Conversion(input, to: folder(output), options: options)
    return (conversion, try conversion.write { _, _ in })
  }

  @Test(arguments: ["out.safetensors", "out.ckpt", "out.npz", "shards"])
  func ledgerTellsWhatIsWritten(_ output: String) throws {
    let input = try weights("in.safetensors", [("a.w", [900, 700]), ("b.w", [300, 700]), ("c", [5]), ("d", [])])
    try folder.put("m.yaml", "- {concat: [a.w, b.w], to: ab}\n- {transpose: ab}\n- {rename: c, to: e}\n")
    let (conversion, items) = try convert(input, output) { options in
      options.maps = [folder("m.yaml")]
      options.ledger = folder("ledger.jsonl")
      options.shardByteCount = output == "shards" ? 100_000 : nil
      try options.types.add("ab=f16")
    }
    let lines = try folder.text("ledger.jsonl").split(separator: "\n").map { try JSON.parse(String($0)) }
    #expect(lines.count == 3 && items.count == 3)
    let store = try CheckpointFormats.read(folder(output))
    for (line, item) in zip(lines, items) {
      let name = try line.required("tensor").asString()
      let entry = try #require(store[TensorName(name)])
      #expect(name == item.name.string && entry.dtype == item.to && entry.shape == item.shape)
      #expect(try line.required("digest").asString() == entry.digest().description, "\(name)")
      #expect(conversion.files.contains(try line.required("file").asString()))
      for source in try line.required("sources").asArray() {
        // The place in the file is where the tensor's bytes are.
        let offset = try source.required("offset").asInt()
        let original = try CheckpointFormats.read(input).tensor(TensorName(source.required("tensor").asString()))
        let bytes = try InputFile(path: input).read(at: offset, count: original.bytes.count)
        #expect(bytes == original.bytes)
      }
    }
    let loss = try lines[0].required("loss")
    #expect(try loss.required("examined").asInt() == 840_000 && loss.required("changed").asInt() > 800_000)
    #expect(try loss.required("largest_error_ulp").asDouble() == 0.5)
    let mean = try loss.required("mean_error_ulp").asDouble()
    #expect(mean > 0.24 && mean < 0.26)
    #expect(lines[1]["loss"]?.isNull ?? false && lines[1]["sources"]?[0]?["tensor"]?.string == "c")
    #expect(lines[0]["steps"]?.count == 3)
  }

  @Test func bytesDoNotDependOnThreadsOrMemory() throws {
    let input = try weights("in.safetensors", [("w", [1500, 2100]), ("v", [33])])
    try folder.put("m.yaml", "- transpose: w\n")
    var outputs: [[UInt8]] = []
    for (threads, memory) in [(1, 8 << 20), (2, 64 << 20), (5, 200 << 20)] {
      let limit = Machine.residentByteCount + memory + 16 << 20
      let (conversion, items) = try convert(input, "out-\(threads).safetensors") { options in
        options.maps = [folder("m.yaml")]
        try options.types.add("bf16")
        options.resources = Resources(threads: threads, memoryLimit: limit)
      }
      #expect(conversion.memory.peakByteCount <= limit)
      outputs.append(try InputFile.contents(of: folder("out-\(threads).safetensors")).array)
      #expect(items.contains { $0.losses?.examined == 3_150_000 })
    }
    #expect(outputs.allSatisfy { $0 == outputs[0] })
  }

  @Test func memoryIsPlannedFirst() throws {
    let input = try weights("in.safetensors", [("w", [10])])
    #expect(
      code {
        _ = try convert(input, "out.safetensors") { options in
          try options.types.add("f16")
          options.resources = Resources(threads: 1, memoryLimit: 1 << 20)
        }
      } == .memory)
    #expect(folder.names == ["in.safetensors"])
  }

  @Test func foldersCarryTheModelsSmallFiles() throws {
    let input = try weights("model.safetensors", [("w", [100])])
    #expect(input.hasSuffix("model.safetensors"))
    try folder.put("config.json", #"{"model_type":"x"}"#)
    try folder.put("notes.txt", "mine")
    for _ in 0..<2 {
      let (conversion, _) = try convert(folder.path, "out") { options in
        options.shardByteCount = 200
        options.overwrite = true
      }
      #expect(conversion.files == ["model.safetensors", "config.json"])
      #expect(Scratch.names(folder("out")) == ["config.json", "model.safetensors"])
    }
    #expect(try folder.text("out/config.json") == #"{"model_type":"x"}"#)
  }

  @Test func marksOfTensorsGoWithTheirNames() throws {
    let entry = CheckpointEntry("q", .int8, shape: [2]) { try $0.write([1, 2]) }
    try MindSporeCheckpoint().write(
      [entry], metadata: ["q": "Int4", "note": "x"], to: folder("in.ckpt"), overwrite: false)
    try folder.put("m.yaml", "- {rename: q, to: p}\n")
    _ = try convert(folder("in.ckpt"), "out.ckpt") { $0.maps = [folder("m.yaml")] }
    #expect(try CheckpointFormats.read(folder("out.ckpt")).metadata == ["p": "Int4", "note": "x"])
  }

  @Test func tiesAreKnown() throws {
    let bytes = Bytes([UInt8](repeating: 1, count: 64))
    try folder.put("data", String(repeating: "a", count: 64))
    let file = try MappedFile(path: folder("data"))
    var store = TensorStore()
    for (name, window) in [("a", file[0..<32]), ("b", file[32..<64]), ("c", file[0..<32]), ("d", bytes[0..<32])] {
      try store.append(TensorStore.Entry(TensorName(name), .int8, shape: [32], file: "data") { window })
    }
    #expect(try Conversion.ties(store) == [["a", "c"]])
  }

  /// A file as safetensors' `save_model` writes it: the first name of a tied weight is that of a copy.
  private func tiedWeights() throws -> String {
    let store = try CheckpointFormats.read(
      weights("plain.safetensors", [("model.embed.weight", [30, 20]), ("norm", [20])]))
    let texts: [TensorName: String] = [
      "lm_head.weight": "model.embed.weight", "a.b": "lm_head.weight", "c.d": "norms", "format": "norm",
    ]
    try SafetensorsFormat().write(
      store.entries.map { CheckpointEntry($0) }, metadata: texts, to: folder("tied.safetensors"), overwrite: false)
    return folder("tied.safetensors")
  }

  @Test func namesInMetadataAreTensors() throws {
    let store = try CheckpointFormats.read(tiedWeights())
    #expect(store.entries.map(\.name) == ["model.embed.weight", "norm", "lm_head.weight"])
    #expect(store.metadata == ["a.b": "lm_head.weight", "c.d": "norms", "format": "norm"])
    #expect(try Conversion.ties(store) == [["model.embed.weight", "lm_head.weight"]])
  }

  @Test(arguments: ["out.safetensors", "out.h5", "shards", "out.ckpt"], [nil, DType.bfloat16])
  func tiesStayTied(_ output: String, _ dtype: DType?) throws {
    let input = try tiedWeights()
    let (conversion, items) = try convert(input, output) { options in
      if output == "shards" { (options.format, options.shardByteCount) = ("safetensors", 1300) }
      if let dtype { options.types.common = .type(dtype) }
      options.ledger = folder("ledger.jsonl")
    }
    let isKept = conversion.format.keepsTies
    #expect(isKept == (output != "out.ckpt"))
    let (head, embedding) = (try #require(items.last), items[0])
    #expect(head.name == "lm_head.weight" && head.twin == (isKept ? embedding.name : nil))
    #expect(head.byteCount == (isKept ? 0 : embedding.byteCount) && head.file == embedding.file)
    #expect(head.losses == embedding.losses)
    #expect(conversion.byteCount == items.filter { $0.twin == nil }.reduce(0) { $0 + $1.byteCount })
    let store = try CheckpointFormats.read(folder(output))
    #expect(try Conversion.ties(store).count == (isKept ? 1 : 0))
    let source = try CheckpointFormats.read(input)
    for entry in store.entries {
      let expected = try #require(source[entry.name]).tensor().cast(to: dtype ?? .float32)
      #expect(try entry.tensor().bytes == expected.bytes, "\(entry.name)")
    }
    let lines = try folder.text("ledger.jsonl").split(separator: "\n").map { try JSON.parse(Bytes($0.utf8)) }
    #expect(lines.count == 3 && lines[0]["digest"]?.string == lines[2]["digest"]?.string)
  }

  @Test func unfinishedFoldersGoOn() throws {
    func write(_ key: String, _ names: [String], fail: Bool = false) throws -> [String] {
      var written: [String] = []
      try AtomicFolder.write(to: folder("out"), key: key) { out in
        for name in names {
          let note = try out.write(name, note: { "note of \(name)" }) { sink in
            written.append(name)
            try sink.write(name)
          }
          #expect(note == nil || note == "note of \(name)")
        }
        if fail { throw BessemerError(.interrupted, "stopped") }
      }
      return written
    }
    #expect(code { _ = try write("k", ["a", "b"], fail: true) } == .interrupted)
    #expect(folder.names == [".out.bessemer-unfinished"])
    // A file that was damaged since, and a line that was cut, are written again.
    try Scratch.put(folder(".out.bessemer-unfinished/b"), [1, 2, 3])
    #expect(try write("k", ["a", "b", "c"]) == ["b", "c"])
    #expect(Scratch.names(folder("out")) == ["a", "b", "c"] && folder.names == ["out"])
    #expect(code { _ = try write("k", ["a"]) } == .outputExists)
    #expect(code { _ = try write("other", ["a"]) } == .outputExists)
  }

  @Test func otherWorkStartsAnew() throws {
    for (key, expected) in [("k", ["a"]), ("l", ["a"]), ("l", [])] {
      var written: [String] = []
      let stopped = code {
        try AtomicFolder.write(to: folder("out"), key: key) { out in
          try out.write("a") { sink in
            written.append("a")
            try sink.write("x")
          }
          throw BessemerError(.interrupted, "stopped")
        }
      }
      #expect(stopped == .interrupted && written == expected)
    }
  }
}
