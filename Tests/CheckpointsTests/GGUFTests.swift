@testable import Checkpoints
import Foundation
import TestSupport
import Tensors
import Testing

/// GGUF files that the Python package wrote, and those that are written here.
@Suite struct GGUFTests {
  private static let folder = Fixtures.folder + "/checkpoints/gguf/"

  private func read(_ name: String) throws -> TensorStore { try GGUF().read(GGUFTests.folder + name) }

  /// The same bits, but for NaN, which is one as any other.
  private func agree(_ a: Tensor, _ b: Tensor) -> Bool {
    guard a.type == b.type else { return false }
    guard a.dtype.isFloat, a.bytes != b.bytes else { return a.bytes == b.bytes }
    let width = a.dtype.bits / 8
    let (x, y) = (a.bytes.array, b.bytes.array)
    return zip(a.doubles, b.doubles).enumerated().allSatisfy { index, pair in
      pair.0.isNaN && pair.1.isNaN
        || x[(index * width)..<((index + 1) * width)] == y[(index * width)..<((index + 1) * width)]
    }
  }

  @Test func decodesEveryTypeAsThePackageDoes() throws {
    let (store, expected) = (try read("types.gguf"), try NPZ().read(GGUFTests.folder + "types.npz"))
    #expect(store.entries.count == 33)
    for entry in store.entries {
      let wanted = try expected.tensor(entry.name)
      #expect(agree(try entry.tensor().cast(to: wanted.dtype), wanted), "\(entry.name)")
      let name = entry.name.string.lowercased()
      #expect(entry.storedTypeName == name, "\(entry.name)")
      var pieces: [UInt8] = []
      try entry.forEachPiece { pieces += $0.array }
      #expect(try Bytes(pieces) == entry.tensor().bytes)
    }
  }

  @Test func decodesAnyRange() throws {
    for entry in try read("types.gguf").entries {
      guard let (type, blocks) = try entry.blocks() else { continue }
      let whole = try entry.tensor().bytes.array
      for range in [0..<1, 3..<40, 31..<33, 50..<64] {
        let part = try Bytes(byteCount: range.count * 4) { type.decode(range, of: blocks, to: $0) }
        #expect(part.array == Array(whole[(range.lowerBound * 4)..<(range.upperBound * 4)]), "\(type) \(range)")
      }
    }
  }

  @Test(arguments: ["whole.gguf", "v2.gguf", "big.gguf", "split-00001-of-00002.gguf", "split-00002-of-00002.gguf"])
  func readsEveryForm(_ name: String) throws {
    let (store, whole) = (try read(name), try read("whole.gguf"))
    #expect(store.entries.map(\.name) == whole.entries.map(\.name))
    for (a, b) in zip(store.entries, whole.entries) { #expect(try a.tensor() == b.tensor(), "\(a.name)") }
    let texts = try Fixtures.json("checkpoints/gguf/whole.json")
    #expect(store.metadata.count == texts.count)
    for (key, text) in texts.members { #expect(store.metadata[TensorName(key)] == text.string, "\(key)") }
  }

  @Test(arguments: ["whole.gguf", "types.gguf"]) func copiesUnchanged(_ name: String) throws {
    let (store, scratch) = (try read(name), Scratch())
    try GGUF().write(
      store.entries.map { CheckpointEntry($0) }, metadata: store.metadata, to: scratch("a.gguf"), overwrite: false)
    let again = try GGUF().read(scratch("a.gguf"))
    var metadata = store.metadata
    metadata["general.quantization_version"] = "u32:2"
    #expect(again.metadata == metadata)
    for (a, b) in zip(store.entries, again.entries) {
      #expect(a.name == b.name && a.type == b.type && a.layout == b.layout)
      #expect(try a.blocks()?.bytes == b.blocks()?.bytes)
      #expect(try agree(a.tensor(), b.tensor()), "\(a.name)")
    }
  }

  @Test func encodesAsGGMLDoes() throws {
    let (expected, scratch) = (try NPZ().read(GGUFTests.folder + "encoded.npz"), Scratch())
    let numbers = try expected.tensor("numbers")
    #expect(BlockType.writable.count == 11)
    for type in BlockType.writable {
      let entry = CheckpointEntry("x", .float32, shape: [numbers.elementCount / 256, 256], encoding: type) { sink in
        // Pieces of any size, cut anywhere.
        for start in stride(from: 0, to: numbers.bytes.count, by: 1001) {
          try sink.write(numbers.bytes[start..<min(start + 1001, numbers.bytes.count)])
        }
      }
      try GGUF().write([entry], metadata: [:], to: scratch("x.gguf"), overwrite: true)
      let stored = try #require(try GGUF().read(scratch("x.gguf"))["x"]?.blocks())
      #expect(stored.type == type)
      #expect(stored.bytes == (try expected.tensor(TensorName(type.rawValue)).bytes), "\(type)")
    }
  }

  @Test func refusesWhatBlocksDoNotHold() throws {
    let scratch = Scratch()
    for value: Float in [.nan, .infinity, -.greatestFiniteMagnitude] {
      for type in BlockType.writable where type != .q8k || !value.isFinite {
        var numbers = [Float](repeating: 1, count: 512)
        numbers[300] = value
        let bytes = numbers.withUnsafeBytes { Bytes($0) }
        let entry = CheckpointEntry("x", .float32, shape: [512], encoding: type) { try $0.write(bytes) }
        #expect(
          code { try GGUF().write([entry], metadata: [:], to: scratch("x.gguf"), overwrite: true) }
            == .unsupportedType, "\(type) \(value)")
      }
    }
    #expect(scratch.names.isEmpty)
  }

  @Test func saysWhatCannotBeHeld() {
    func entry(_ name: TensorName, _ dtype: DType, _ shape: [Int], _ encoding: BlockType? = nil) -> CheckpointEntry {
      CheckpointEntry(name, dtype, shape: shape, encoding: encoding) { _ in }
    }
    let long = TensorName(String(repeating: "x", count: 64))
    let all = [
      entry("a", .uint8, [2]), entry("b", .float32, [1, 1, 1, 1, 1]), entry("c", .float32, [2, 100], .q4k),
      entry("d", .float32, [256], .iq2xs), entry("e", .bfloat16, [256], .q4k), entry(long, .float32, [1]),
      entry("", .float32, [1]), entry("good", .float32, [2, 256], .q6k), entry("f", .float32, [], .q80),
    ]
    #expect(GGUF().problems(all, metadata: ["general.alignment": "u32:32", "a": "b"]).count == 8)
    #expect(GGUF().problems([], metadata: ["general.alignment": "u32:3", "split.count": "u16:2"]).count == 2)
  }

  @Test func keepsAlignmentAndNames() throws {
    let scratch = Scratch()
    let tensors = try (1...5).map { try Tensor(.int8, shape: [$0], integers: (1...Int64($0)).map { $0 }) }
    let entries = tensors.enumerated().map { index, tensor in
      CheckpointEntry(TensorName("t\(index)"), .int8, shape: tensor.shape) { try $0.write(tensor.bytes) }
    }
    let metadata: [TensorName: String] = ["general.alignment": "u32:128", "z": "", "general.name": "n", "a": "bool:2"]
    try GGUF().write(entries, metadata: metadata, to: scratch("a.gguf"), overwrite: false)
    let store = try GGUF().read(scratch("a.gguf"))
    #expect(store.metadata == metadata)
    for (entry, tensor) in zip(store.entries, tensors) { #expect(try entry.tensor() == tensor) }
    #expect(try InputFile(path: scratch("a.gguf")).byteCount % 128 == 0)
  }

  @Test(arguments: [
    "", "u32:", "u32:-1", "u32:07", "f32:0.10", "bool:yes", "array:", "array:u8:[1,2", "array:u8:[1, 2]",
    "array:u8:[300]",
    "array:string:[\"a\" ]", "array:string:[1]", "array:array:[\"u8:1\"]", "bytes:616", "bytes:61", "bytes:FF",
    "string", "u31:1",
    "array:u8:[]", "array:string:[]", "string:u32:1", "u32:1", "bytes:ff", "f64:-0.0", "f32:-nan", "f32:inf", "string:",
  ]) func anyTextComesBack(_ text: String) throws {
    let scratch = Scratch()
    try GGUF().write([], metadata: ["k": text], to: scratch("a.gguf"), overwrite: false)
    #expect(try GGUF().read(scratch("a.gguf")).metadata == ["k": text])
  }

  @Test func keepsTextsThatAreNoUTF8() throws {
    let scratch = Scratch()
    let texts: [TensorName: String] = ["a": "bytes:c3", "b": "array:bytes:[\"61\",\"ff00\"]"]
    try GGUF().write([], metadata: texts, to: scratch("a.gguf"), overwrite: false)
    #expect(try GGUF().read(scratch("a.gguf")).metadata == texts)
  }

  @Test func refusesEachBadFile() throws {
    let cases = try Fixtures.json("checkpoints/gguf/bad.json")
    #expect(cases.count > 25)
    for (name, expected) in cases.members {
      #expect(code { _ = try read(name) }?.rawValue == expected.string, "\(name)")
    }
  }

  @Test func refusesEveryPrefix() throws {
    let bytes = try Fixtures.bytes("checkpoints/gguf/whole.gguf")
    let scratch = Scratch()
    // Without the padding at its end the file is complete.
    for count in stride(from: 0, to: bytes.count - 32, by: 3) {
      try Scratch.put(scratch("a.gguf"), Array(bytes[..<count]))
      #expect(code { _ = try GGUF().read(scratch("a.gguf")) } != nil, "\(count) of \(bytes.count)")
    }
  }

  @Test func survivesChangedBytes() throws {
    let bytes = try Fixtures.bytes("checkpoints/gguf/whole.gguf")
    let scratch = Scratch()
    for at in bytes.indices where at % 2 == 0 {
      for value: UInt8 in [0, 0x7F, 0xFF] {
        var changed = bytes
        changed[at] = value
        try Scratch.put(scratch("a.gguf"), changed)
        _ = code { for entry in try GGUF().read(scratch("a.gguf")).entries { _ = try entry.tensor() } }
      }
    }
  }

  @Test func findsSplitFilesThatDisagree() throws {
    let scratch = Scratch()
    let first = try Fixtures.bytes("checkpoints/gguf/split-00001-of-00002.gguf")
    try Scratch.put(scratch("m-00001-of-00002.gguf"), first)
    #expect(code { _ = try GGUF().read(scratch("m-00001-of-00002.gguf")) } == .fileMissing)
    try Scratch.put(scratch("m-00002-of-00002.gguf"), first)
    #expect(code { _ = try GGUF().read(scratch("m-00001-of-00002.gguf")) } == .shardIndex)
    try Scratch.put(scratch("alone.gguf"), first)
    #expect(code { _ = try GGUF().read(scratch("alone.gguf")) } == .shardIndex)
  }
}
