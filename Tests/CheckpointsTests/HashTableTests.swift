@testable import Checkpoints
import TestSupport
import Tensors
import Testing

/// Hash tables (`MapParameter`), and what else is rare in MindSpore's checkpoints.
@Suite struct HashTableTests {
  private let path = Fixtures.folder + "/mindspore/special.ckpt"

  @Test func readsWhatIsRare() throws {
    let store = try MindSporeCheckpoint().read(path)
    #expect(
      store.entries.map { "\($0.name) \($0.type)" } == [
        "packed i8[2,2]", "sliced i32[2,3]", "hollow f32[0,3]", "table.keys i32[3]", "table.values f32[3,2]",
        "table.status i32[3]",
      ])
    #expect(store.metadata == ["packed": "Int4", "table": "MapParameter"])
    #expect(try store.tensor("sliced").integers == [0, 1, 2, 3, 4, 5])
    #expect(try store.tensor("table.keys").integers == [0, 1, 2])
    #expect(try store.tensor("table.values").doubles == [0, 1, 2, 3, 4, 5])
  }

  @Test func writesWhatItReads() throws {
    let store = try MindSporeCheckpoint().read(path)
    let copy = try ScratchFile()
    try MindSporeCheckpoint().write(
      store.entries.map { CheckpointEntry($0) }, metadata: store.metadata, to: copy.path, overwrite: true)
    let again = try MindSporeCheckpoint().read(copy.path)
    #expect(again.entries.map(\.name) == store.entries.map(\.name) && again.metadata == store.metadata)
    for (a, b) in zip(store.entries, again.entries) { #expect(try a.tensor() == b.tensor()) }
  }

  @Test func saysWhichTablesCannotBeWritten() throws {
    func problems(_ keys: (DType, [Int]), _ values: (DType, [Int]), mark: String = "MapParameter") -> Int {
      let entries = [("t.keys", keys), ("t.values", values), ("t.status", (DType.int32, [2]))].map { name, type in
        CheckpointEntry(TensorName(name), type.0, shape: type.1) { _ in }
      }
      return MindSporeCheckpoint().problems(entries, metadata: ["t": mark]).count
    }
    #expect(problems((.int32, [2]), (.float32, [2, 4])) == 0)
    #expect(problems((.int32, [2]), (.bfloat16, [2, 4])) == 1)
    #expect(problems((.int32, [3]), (.float32, [2, 4])) == 1)
    #expect(problems((.int32, [2]), (.float32, [])) == 1)
    #expect(problems((.int32, [2]), (.float32, [1 << 20, 1 << 20])) == 1)
    #expect(problems((.int32, [2]), (.bfloat16, [2, 4]), mark: "a text") == 0)
  }

  @Test func refusesBadTables() throws {
    func field(_ number: UInt8, _ content: [UInt8]) -> [UInt8] { [number << 3 | 2, UInt8(content.count)] + content }
    func tensor(_ rows: UInt8, _ type: String, _ count: Int) -> [UInt8] {
      field(1, [8, rows] + field(2, Array(type.utf8)) + field(3, Array(repeating: 0, count: count)))
    }
    func found(_ tables: [[[UInt8]]]) throws -> ErrorCode? {
      let records = tables.flatMap { field(1, field(1, [0x74]) + field(3, $0.flatMap { $0 })) }
      let file = try ScratchFile(records)
      return code { _ = try MindSporeCheckpoint().read(file.path) }
    }
    let good = tensor(2, "int32", 8)
    #expect(try found([[good, good, good]]) == nil)
    #expect(try found([[good, good, good], [good, good, good]]) == nil)
    #expect(try found([[good, good]]) == .tensorEntry)
    #expect(try found([[good, good, good, good]]) == .tensorEntry)
    #expect(try found([[good, tensor(2, "Float32", 8), good]]) == .unsupportedType)
    #expect(try found([[good, tensor(1, "int32", 4), good]]) == .tensorLayout)
    #expect(try found([[good, tensor(2, "int32", 7), good]]) == .tensorLayout)
    #expect(try found([[good, good, good], [good, tensor(2, "float32", 8), good]]) == .tensorLayout)
  }
}
