@testable import Checkpoints
import Foundation
import TestSupport
import Tensors
import Testing

let formats: [any WritableCheckpointFormat] = [MindSporeCheckpoint(), NPZ()]

/// The format whose files end like this name.
func format(of name: String) throws -> any WritableCheckpointFormat {
  try #require(formats.first { $0.suffixes.contains { name.hasSuffix($0) } })
}

func path(_ name: String) -> String { Fixtures.folder + "/checkpoints/" + name }

/// A file that is removed when nothing needs it any more.
final class ScratchFile {
  let path = NSTemporaryDirectory() + "/bessemer-checkpoints-" + UUID().uuidString

  init(_ bytes: [UInt8] = []) throws { try Data(bytes).write(to: URL(fileURLWithPath: path)) }
  deinit { try? FileManager.default.removeItem(atPath: path) }
}

/// Files that the formats' own programs wrote, and what is in them.
@Suite struct FormatTests {
  static let files = ["types.ckpt", "crc.ckpt", "stored.npz", "deflated.npz", "zip64.npz"]

  @Test(arguments: files) func readsWhatOthersWrite(_ name: String) throws {
    let store = try format(of: name).read(path(name))
    let expected = try Fixtures.json("checkpoints/" + name.prefix { $0 != "." } + ".json")
    let tensors = try expected.required("tensors").asArray()
    #expect(store.entries.map(\.name.string) == (try tensors.map { try $0.required("name").asString() }))
    for (entry, json) in zip(store.entries, tensors) {
      let (tensor, wanted) = (try entry.tensor(), try Tensor(json: json))
      #expect(tensor.type == wanted.type, "\(entry.name)")
      #expect(tensor.bytes == wanted.bytes, "\(entry.name)")
      var pieces: [UInt8] = []
      try entry.forEachPiece { pieces += $0.array }
      #expect(Bytes(pieces) == tensor.bytes)
    }
    let metadata = try expected.required("metadata")
    #expect(store.metadata.count == metadata.count)
    for (key, value) in metadata.members { #expect(store.metadata[TensorName(key)] == value.string) }
  }

  @Test(arguments: files) func recognizesContent(_ name: String) throws {
    let start = Array(try Fixtures.bytes("checkpoints/" + name).prefix(512))
    for format in formats { #expect(format.recognizes(start) == format.suffixes.contains { name.hasSuffix($0) }) }
  }

  @Test func recognizesNothingElse() {
    for start in ["", "PK\u{3}\u{4}", "PK\u{3}\u{4}" + String(repeating: "archive/data.pkl", count: 9), "\n\u{5}abcde"]
    {
      for format in formats { #expect(!format.recognizes(Array(start.utf8)), "\(format.name): \(start)") }
    }
  }

  @Test(arguments: files) func writesWhatItReads(_ name: String) throws {
    let format = try format(of: name)
    let store = try format.read(path(name))
    let copy = try ScratchFile()
    try format.write(
      store.entries.map { CheckpointEntry($0) }, metadata: store.metadata, to: copy.path, overwrite: true)
    let again = try format.read(copy.path)
    #expect(again.entries.map(\.name) == store.entries.map(\.name) && again.metadata == store.metadata)
    for (a, b) in zip(store.entries, again.entries) { #expect(try a.tensor() == b.tensor()) }
  }

  @Test(arguments: [("types.ckpt", false), ("crc.ckpt", true)])
  func writesTheBytesOfMindSpore(_ name: String, _ checksum: Bool) throws {
    let store = try MindSporeCheckpoint().read(path(name))
    let copy = try ScratchFile()
    try MindSporeCheckpoint(writesChecksum: checksum).write(
      store.entries.map { CheckpointEntry($0) }, metadata: store.metadata, to: copy.path, overwrite: true)
    #expect(try Data(contentsOf: URL(fileURLWithPath: copy.path)) == Data(Fixtures.bytes("checkpoints/" + name)))
  }

  @Test(arguments: [1, 3, 4, 7, 24, 100]) func joinsSlices(_ sliceByteCount: Int) throws {
    let store = try MindSporeCheckpoint().read(path("types.ckpt"))
    let copy = try ScratchFile()
    try MindSporeCheckpoint(writesChecksum: true, sliceByteCount: sliceByteCount).write(
      store.entries.map { CheckpointEntry($0) }, metadata: [:], to: copy.path, overwrite: true)
    let again = try MindSporeCheckpoint().read(copy.path)
    for (a, b) in zip(store.entries, again.entries) { #expect(try a.tensor() == b.tensor()) }
  }

  @Test func alignsArchives() throws {
    let tensor = try Tensor(.float32, shape: [3], doubles: [1, 2, 3])
    let copy = try ScratchFile()
    let entries = ["a", "bc", "def"].map { name in
      CheckpointEntry(TensorName(name), .float32, shape: [3]) { try $0.write(tensor.bytes) }
    }
    try NPZ().write(entries, metadata: [:], to: copy.path, overwrite: true)
    let file = try Data(contentsOf: URL(fileURLWithPath: copy.path))
    let data = Data(tensor.bytes.array)
    var from = file.startIndex
    for _ in entries {
      let place = try #require(file.range(of: data, in: from..<file.endIndex))
      #expect(place.lowerBound % 64 == 0)
      from = place.upperBound
    }
  }

  @Test func keepsPackedInt4() throws {
    // As MindSpore writes a parameter of two bytes, each with two numbers.
    let record: [UInt8] =
      [0x0A, 17, 0x0A, 1, 0x71, 0x12, 12, 8, 2, 0x12, 4] + Array("Int4".utf8) + [0x1A, 2, 0x21, 0x43]
    var file = record
    file[1] = UInt8(record.count - 2)
    file[6] = UInt8(record.count - 7)
    let source = try ScratchFile(file)
    let store = try MindSporeCheckpoint().read(source.path)
    #expect(store["q"]?.type.description == "i8[2]" && store.metadata == ["q": "Int4"])
    let copy = try ScratchFile()
    try MindSporeCheckpoint().write(
      store.entries.map { CheckpointEntry($0) }, metadata: store.metadata, to: copy.path, overwrite: true)
    #expect(try Data(contentsOf: URL(fileURLWithPath: copy.path)) == Data(file))
  }

  @Test func saysWhatCannotBeHeld() throws {
    func entry(_ name: TensorName, _ dtype: DType, _ shape: [Int]) -> CheckpointEntry {
      CheckpointEntry(name, dtype, shape: shape) { _ in }
    }
    let all = [
      entry("a", .bfloat16, [2]), entry("b", .float8e4m3fn, [2]), entry("c", .float32, [0]), entry("", .int8, [1]),
    ]
    #expect(NPZ().problems(all, metadata: [:]).count == 3)
    #expect(MindSporeCheckpoint().problems(all, metadata: ["a": "x", "d": "y"]).count == 4)
    #expect(code { try NPZ().check([all[2], all[2]], metadata: [:]) } == .unsupportedType)
  }
}
