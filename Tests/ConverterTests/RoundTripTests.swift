import Checkpoints
import Foundation
import TestSupport
import Tensors
import Testing

@testable import Converter

/// What two formats both hold goes from one into the other and back without a changed bit.
@Suite struct RoundTripTests {
  static let formats = CheckpointFormats.all.compactMap { $0 as? any WritableCheckpointFormat }
  static let shapes = [[], [2], [3, 4], [2, 1, 3, 2], [0, 4]]

  struct Pair: CustomTestStringConvertible, Sendable {
    let first: any WritableCheckpointFormat
    let second: any WritableCheckpointFormat
    var testDescription: String { "\(first.name) -> \(second.name)" }
  }

  static let pairs = formats.flatMap { first in formats.map { Pair(first: first, second: $0) } }

  /// Random bits in every shape that elements of the type can have.
  private static func tensors(_ dtype: DType, seed: UInt64) throws -> [(name: TensorName, tensor: Tensor)] {
    var random = SplitMix64(seed: seed)
    return try shapes.compactMap { shape in
      guard let byteCount = Tensor.byteCount(dtype, shape: shape) else { return nil }
      let bytes = (0..<byteCount).map { _ in UInt8.random(in: dtype == .bool ? 0...1 : 0...255, using: &random) }
      let name = TensorName("\(dtype.rawValue).of\(shape.count)" + (byteCount == 0 ? ".empty" : ""))
      return (name, try Tensor(dtype, shape: shape, bytes: Bytes(bytes)))
    }
  }

  private static func entry(_ name: TensorName, _ tensor: Tensor) -> CheckpointEntry {
    CheckpointEntry(name, tensor.dtype, shape: tensor.shape) { try $0.write(tensor.bytes) }
  }

  /// Whether a format holds a type in two dimensions.
  private static func holds(_ format: any WritableCheckpointFormat, _ dtype: DType) -> Bool {
    format.problems([CheckpointEntry("w", dtype, shape: [2, 32]) { _ in }], metadata: [:]).isEmpty
  }

  @Test(arguments: pairs) func keepsEveryBit(_ pair: Pair) throws {
    let scratch = Scratch()
    var kept: [(name: TensorName, tensor: Tensor)] = []
    for (index, dtype) in DType.allCases.enumerated() {
      kept += try RoundTripTests.tensors(dtype, seed: UInt64(index)).filter { name, tensor in
        [pair.first, pair.second].allSatisfy {
          $0.problems([RoundTripTests.entry(name, tensor)], metadata: [:]).isEmpty
        }
      }
    }
    #expect(kept.count >= 7 * 3)
    let metadata: [TensorName: String] =
      pair.first.keepsMetadata && pair.second.keepsMetadata ? ["author": "é", "format": "ms"] : [:]
    try pair.first.write(
      kept.map { RoundTripTests.entry($0, $1) }, metadata: metadata, to: scratch("a"), overwrite: false)
    let middle = try CheckpointFormats.read(scratch("a"))
    try pair.second.write(
      middle.entries.map { CheckpointEntry($0) }, metadata: middle.metadata, to: scratch("b"), overwrite: false)
    let end = try CheckpointFormats.read(scratch("b"))
    #expect(end.entries.count == kept.count)
    for (name, tensor) in kept {
      let found = try #require(end[name], "\(name)")
      #expect(try found.tensor() == tensor, "\(name)")
    }
    for (key, text) in metadata { #expect(end.metadata[key] == text, "\(key)") }
  }

  /// docs/FORMATS.md has a table of the types that formats hold.
  @Test func documentSaysWhatIsHeld() throws {
    let document = try String(contentsOfFile: Fixtures.folder + "/../docs/FORMATS.md", encoding: .utf8)
    let columns = ["safetensors", "gguf", "hdf5", "mindspore", "mindspore-safetensors", "mindspore-unified", "npz"]
    #expect(Set(columns) == Set(RoundTripTests.formats.map(\.name)))
    var rows: [(types: [String], held: [String])] = []
    for dtype in DType.allCases {
      let held = columns.map { name in
        RoundTripTests.formats.contains { $0.name == name && RoundTripTests.holds($0, dtype) } ? "yes" : ""
      }
      if let index = rows.firstIndex(where: { $0.held == held }) {
        rows[index].types.append("`\(dtype)`")
      } else {
        rows.append((["`\(dtype)`"], held))
      }
    }
    for row in rows where row.held.contains("yes") {
      let cells = [row.types.joined(separator: ", ")] + row.held
      let line = "|" + cells.map { $0.isEmpty ? " |" : " \($0) |" }.joined()
      let isThere = document.contains(line + "\n")
      #expect(isThere, "docs/FORMATS.md lacks \(line)")
    }
  }
}
