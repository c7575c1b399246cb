@testable import Checkpoints
import Foundation
import Safetensors
import TestSupport
import Tensors
import Testing

/// Distributed checkpoints, which MindSpore cut and merged.
@Suite struct DistributedTests {
  static let folder = Fixtures.folder + "/mindspore/ranks/"

  static func read(_ path: String, _ strategy: String?) throws -> TensorStore {
    var options = ReadOptions()
    options.strategy = strategy.map { $0.contains("/") ? $0 : folder + $0 }
    return try DistributedCheckpoint().reading(with: options).read(path)
  }

  static func write(_ store: TensorStore, _ strategy: String, to path: String) throws {
    var options = WriteOptions()
    options.strategy = folder + strategy
    try options.applied(to: MindSporeCheckpoint()).write(
      store.entries.map { CheckpointEntry($0) }, metadata: store.metadata, to: path, overwrite: true)
  }

  static func contents(_ path: String) throws -> [String: Data] {
    var found: [String: Data] = [:]
    for rank in try FileManager.default.contentsOfDirectory(atPath: path) {
      for name in try FileManager.default.contentsOfDirectory(atPath: path + "/" + rank) {
        found[rank] = try Data(contentsOf: URL(fileURLWithPath: path + "/" + rank + "/" + name))
      }
    }
    return found
  }

  @Test(arguments: ["source.ckpt", "source.json"]) func mergesAsMindSporeDoes(_ strategy: String) throws {
    let store = try Self.read(Self.folder + "source", strategy)
    let file = try ScratchFile()
    try MindSporeCheckpoint().write(
      store.entries.map { CheckpointEntry($0) }, metadata: store.metadata, to: file.path, overwrite: true)
    #expect(
      try Data(contentsOf: URL(fileURLWithPath: file.path))
        == Data(contentsOf: URL(fileURLWithPath: Self.folder + "merged.ckpt")))
  }

  @Test(arguments: ["source", "target"]) func cutsAsMindSporeDoes(_ name: String) throws {
    for store in [
      try MindSporeCheckpoint().read(Self.folder + "merged.ckpt"), try Self.read(Self.folder + "source", "source.ckpt"),
    ] {
      let scratch = NSTemporaryDirectory() + "/bessemer-ranks-" + UUID().uuidString
      defer { try? FileManager.default.removeItem(atPath: scratch) }
      try Self.write(store, name + ".ckpt", to: scratch)
      #expect(try Self.contents(scratch) == Self.contents(Self.folder + name))
    }
  }

  /// What one rank holds is enough where others would hold the same.
  @Test func mergesWithoutRedundancy() throws {
    let strategy = try Strategy(path: Self.folder + "source.ckpt")
    var ranks: [Int: TensorStore] = [:]
    var seen: Set<String> = []
    for (rank, file) in try RankFolders(path: Self.folder + "source").files {
      let store = try MindSporeCheckpoint().read(file)
      var kept = TensorStore()
      for entry in store.entries {
        let place = strategy.layouts[entry.name]?[0].map { $0.parts(of: rank) } ?? []
        if seen.insert("\(entry.name) \(place)").inserted { try kept.append(entry) }
      }
      ranks[rank] = kept
    }
    let whole = try MindSporeCheckpoint().read(Self.folder + "merged.ckpt")
    let store = try DistributedCheckpoint.merge(ranks, strategy)
    #expect(store.entries.count == whole.entries.count)
    for entry in whole.entries { #expect(try store.tensor(entry.name) == entry.tensor(), "\(entry.name)") }
    ranks[3] = nil
    let missing = code { _ = try DistributedCheckpoint.merge(ranks, strategy) }
    #expect(missing == .weights)
  }

  @Test func refusesWhatDoesNotFit() throws {
    #expect(code { _ = try Self.read(Self.folder + "source", nil) } == .strategy)
    #expect(code { _ = try Self.read(Self.folder + "source", "target.ckpt") } == .strategy)
    #expect(code { _ = try Self.read(Self.folder + "target", "source.ckpt") } == .weights)
    #expect(code { _ = try Self.read(Self.folder + "source", "merged.ckpt") } == .strategy)
    var options = ReadOptions()
    options.strategy = Self.folder + "source.ckpt"
    #expect(code { _ = try options.applied(to: NPZ()) } == .usage)
    var writing = WriteOptions()
    writing.strategy = Self.folder + "source.ckpt"
    #expect(code { _ = try writing.applied(to: NPZ()) } == .usage)
    let writer = try #require(try writing.applied(to: MindSporeCheckpoint()) as? DistributedWriter)
    let odd = ["up": [7, 4], "both": [8], "other": [3]].map { name, shape in
      CheckpointEntry(TensorName(name), .float32, shape: shape) { _ in }
    }
    #expect(writer.problems(odd, metadata: [:]).count == 2)
    #expect(writer.problems(odd.filter { $0.name == "other" }, metadata: [:]).count == 1)
  }

  @Test func refusesBadLayouts() {
    func found(_ devices: [Int], _ axes: [[Int]], _ size: Int = 0) -> ErrorCode? {
      code { _ = try ParameterLayout(devices: devices, axes: axes, optimizerSize: size) }
    }
    #expect(found([2, 4], [[0], []]) == nil)
    #expect(found([2, 4], [[2]]) == .strategy)
    #expect(found([2, 4], [[-2]]) == .strategy)
    #expect(found([2, 4], [[.min]]) == .strategy && found([2, 4], [[.max]]) == .strategy)
    #expect(found([2, 4], [[0], [0]]) == .strategy)
    #expect(found([0], [[]]) == .strategy)
    #expect(found([-2], [[]]) == .strategy)
    #expect(found([1 << 40, 1 << 40], [[]]) == .strategy)
    #expect(found([2, 4], [[0]], 3) == .strategy)
    #expect(found([2, 4], [[0]], 4) == .strategy)
    #expect(found([2, 4], [[0]], -2) == .strategy)
    #expect(found([2, 4], [], 2) == .strategy)
    #expect(found([2, 4], [[0]], 2) == nil && found([2, 4], [[]], 4) == nil && found([2, 4], [[]], -1) == nil)
  }

  /// A changed byte of a strategy ends in an error or in some layouts, never in a trap.
  @Test(arguments: ["source.ckpt", "source.json", "target.ckpt"]) func survivesChangedBytes(_ name: String) throws {
    let bytes = try Fixtures.bytes("mindspore/ranks/" + name)
    var ranks: [Int: TensorStore] = [:]
    for (rank, file) in try RankFolders(path: Self.folder + "source").files {
      ranks[rank] = try MindSporeCheckpoint().read(file)
    }
    for at in bytes.indices {
      for value: UInt8 in [0, 0x39, 0x7F, 0x80, 0xFF] {
        var changed = bytes
        changed[at] = value
        _ = code { _ = try DistributedCheckpoint.merge(ranks, Strategy(Bytes(changed))) }
      }
      _ = code { _ = try Strategy(Bytes(bytes[..<at])) }
    }
  }

  @Test func takesTheLastFileOfARank() throws {
    let scratch = Scratch()
    try FileManager.default.createDirectory(atPath: scratch("rank_2"), withIntermediateDirectories: false)
    for name in ["net-1_10.ckpt", "net-2_3.ckpt", "net-2_20.ckpt", "net-2_9.ckpt", "notes.txt"] {
      try scratch.put("rank_2/" + name, "x")
    }
    try FileManager.default.createDirectory(atPath: scratch("rank_x"), withIntermediateDirectories: false)
    let files = try RankFolders(path: scratch.path).files
    #expect(files.map(\.rank) == [2] && files.map(\.file) == [scratch("rank_2/net-2_20.ckpt")])
    try scratch.put("rank_2/net.safetensors", "x")
    #expect(code { _ = try RankFolders(path: scratch.path) } == .wrongFormat)
  }
}

/// Safetensors as MindSpore writes and reads them.
@Suite struct MindSporeSafetensorsTests {
  private let path = Fixtures.folder + "/mindspore/crc.safetensors"

  @Test func verifiesTheChecksum() throws {
    let store = try MindSporeSafetensors().read(path)
    #expect(store.metadata == ["format": "ms"] && store.entries.count == 4)
    var bytes = try Fixtures.bytes("mindspore/crc.safetensors")
    bytes[bytes.count - 1] ^= 1
    let file = try ScratchFile(bytes)
    #expect(code { _ = try MindSporeSafetensors().read(file.path) } == .digest)
  }

  @Test func writesTheChecksumOfMindSpore() throws {
    let store = try MindSporeSafetensors().read(path)
    var options = WriteOptions()
    options.writesChecksum = true
    let copy = try ScratchFile()
    try MindSporeSafetensors().writing(with: options).write(
      store.entries.map { CheckpointEntry($0) }, metadata: store.metadata, to: copy.path, overwrite: true)
    let (mine, theirs) = (try SafetensorsFile(path: copy.path), try SafetensorsFile(path: path))
    #expect(mine.header == theirs.header && mine.header.metadata["crc_num"] != nil)
  }

  @Test func saysWhatMindSporeWouldRefuse() {
    func entry(_ name: TensorName, _ dtype: DType) -> CheckpointEntry {
      CheckpointEntry(name, dtype, shape: [2]) { _ in }
    }
    let entries = [entry("a", .float8e4m3fn), entry("b", .complex64), entry("c", .int8), entry("d", .bfloat16)]
    #expect(MindSporeSafetensors().problems(entries, metadata: ["c": "Int4"]).count == 2)
    #expect(MindSporeSafetensors().problems(entries, metadata: ["c": "x", "d": "Int4"]).count == 4)
  }
}
