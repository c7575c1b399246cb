@testable import Checkpoints
import Safetensors
import TestSupport
import Tensors
import Testing

/// Files of other frameworks under fixtures/checkpoints: cases.json of a folder says which safetensors file holds what
/// is in a file, bad.json which error a file gives.
@Suite struct ForeignTests {
  /// A file in the folder of a format.
  struct Case: CustomTestStringConvertible, Sendable {
    let folder: String
    let name: String
    /// The file with the contents, or the code of an error.
    let expected: String

    var path: String { Fixtures.folder + "/checkpoints/\(folder)/\(name)" }
    var format: any CheckpointFormat { ForeignTests.formats.first { $0.name == folder } ?? PyTorch() }
    var testDescription: String { folder + "/" + name }
  }

  static let formats: [any CheckpointFormat] = [HDF5(), NPYFile(), ONNX(), PyTorch()]
  private static let others: [any CheckpointFormat] = [MindSporeCheckpoint(), NPZ()]
  static let cases = all("cases.json")
  static let bad = all("bad.json")

  private static func all(_ list: String) -> [Case] {
    formats.flatMap { format in
      let json = try? Fixtures.json("checkpoints/\(format.name)/\(list)")
      return (json?.members).map { $0.map { Case(folder: format.name, name: $0.0, expected: $0.1.string ?? "") } } ?? []
    }
  }

  @Test func thereAreCases() {
    for format in ForeignTests.formats {
      #expect(ForeignTests.cases.filter { $0.folder == format.name }.count >= 3)
      #expect(ForeignTests.bad.filter { $0.folder == format.name }.count > 10)
    }
  }

  @Test(arguments: cases) func readsWhatOthersWrite(_ file: Case) throws {
    let store = try file.format.read(file.path)
    let expected = try SafetensorsCheckpoint.read(
      Fixtures.folder + "/checkpoints/\(file.folder)/\(file.expected)")
    #expect(store.metadata == expected.metadata)
    #expect(Set(store.entries.map(\.name)) == Set(expected.entries.map(\.name)))
    for entry in expected.entries {
      let found = try #require(store[entry.name])
      #expect(found.type == entry.type, "\(entry.name)")
      let (tensor, wanted) = (try found.tensor(), try entry.tensor())
      #expect(tensor.bytes == wanted.bytes, "\(entry.name)")
      var pieces: [UInt8] = []
      try found.forEachPiece { pieces += $0.array }
      #expect(Bytes(pieces) == wanted.bytes, "\(entry.name)")
    }
  }

  @Test(arguments: cases.filter { $0.format is any WritableCheckpointFormat })
  func writesWhatItReads(_ file: Case) throws {
    let format = try #require(file.format as? any WritableCheckpointFormat)
    let store = try format.read(file.path)
    let (copy, second) = (try ScratchFile(), try ScratchFile())
    try format.write(
      store.entries.map { CheckpointEntry($0) }, metadata: store.metadata, to: copy.path, overwrite: true)
    let again = try format.read(copy.path)
    #expect(again.metadata == store.metadata)
    #expect(again.entries.count == store.entries.count)
    for entry in store.entries { #expect(try again[entry.name]?.tensor() == entry.tensor(), "\(entry.name)") }
    try format.write(
      store.entries.map { CheckpointEntry($0) }, metadata: store.metadata, to: second.path, overwrite: true)
    #expect(try InputFile.contents(of: copy.path) == InputFile.contents(of: second.path))
  }

  @Test(arguments: cases) func recognizesContent(_ file: Case) throws {
    let start = Array(try Fixtures.bytes("checkpoints/\(file.folder)/\(file.name)").prefix(512))
    for format in ForeignTests.formats + ForeignTests.others {
      #expect(format.recognizes(start) == (format.name == file.folder), "\(format.name)")
    }
  }

  @Test(arguments: bad) func refusesBadFiles(_ file: Case) {
    let found = code { for entry in try file.format.read(file.path).entries { _ = try entry.tensor() } }
    #expect(found?.rawValue == file.expected)
  }

  /// A prefix is refused, or, where the file is cut between two parts that do not need each other, holds nothing else.
  @Test(arguments: cases) func survivesEveryPrefix(_ file: Case) throws {
    let bytes = try Fixtures.bytes("checkpoints/\(file.folder)/\(file.name)")
    let whole = try file.format.read(file.path)
    for count in stride(from: 0, to: bytes.count, by: max(1, bytes.count / 200)) {
      let copy = try ScratchFile(Array(bytes[..<count]))
      guard let store = try? file.format.read(copy.path) else { continue }
      #expect(file.folder == "onnx", "\(count) of \(bytes.count)")
      for entry in store.entries { #expect(try whole[entry.name]?.tensor() == entry.tensor()) }
    }
  }

  /// A changed byte gives an error or some tensors, never a trap.
  @Test(arguments: cases) func survivesChangedBytes(_ file: Case) throws {
    let bytes = try Fixtures.bytes("checkpoints/\(file.folder)/\(file.name)")
    var random = SplitMix64(seed: 7)
    for _ in 0..<200 {
      var changed = bytes
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        changed[Int.random(in: changed.indices, using: &random)] = UInt8.random(in: 0...255, using: &random)
      }
      let copy = try ScratchFile(changed)
      _ = code { for entry in try file.format.read(copy.path).entries { _ = try entry.tensor() } }
    }
  }
}
