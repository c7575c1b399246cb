@testable import Checkpoints
import Foundation
import TestSupport
import Tensors
import Testing

/// Files that are not what they should be.
@Suite struct DamageTests {
  @Test func refusesEachBadFile() throws {
    let cases = try Fixtures.json("checkpoints/bad.json")
    #expect(cases.count > 20)
    for (name, expected) in cases.members {
      let found = code { try DamageTests.load(format(of: name), path(name)) }
      #expect(found?.rawValue == expected.string, "\(name)")
    }
  }

  @Test(arguments: FormatTests.files) func refusesEveryPrefix(_ name: String) throws {
    let bytes = try Fixtures.bytes("checkpoints/" + name)
    let (format, whole) = (try format(of: name), try format(of: name).read(path(name)))
    for count in stride(from: 0, to: bytes.count, by: bytes.count > 1000 ? 5 : 1) {
      let file = try ScratchFile(Array(bytes[..<count]))
      guard let store = try? format.read(file.path) else { continue }
      // A checkpoint without checksum that is cut between two parameters cannot be told from a shorter one.
      #expect(
        format.name == "mindspore" && store.entries.count + store.metadata.count > 0, "\(count) of \(bytes.count)")
      #expect(zip(store.entries, whole.entries).allSatisfy { $0.name == $1.name }, "\(count)")
    }
  }

  /// A changed bit is found, or changes neither names nor values.
  @Test(arguments: ["crc.ckpt", "stored.npz", "deflated.npz"]) func findsChangedBits(_ name: String) throws {
    let bytes = try Fixtures.bytes("checkpoints/" + name)
    let format = try format(of: name)
    let whole = try format.read(path(name))
    for at in stride(from: 0, to: bytes.count, by: name == "crc.ckpt" ? 1 : 11) {
      var changed = bytes
      changed[at] ^= 1 << UInt8(at % 8)
      let file = try ScratchFile(changed)
      guard let store = try? format.read(file.path) else { continue }
      #expect(name != "crc.ckpt", "byte \(at)")
      for entry in store.entries {
        guard let tensor = try? entry.tensor(), let original = whole[entry.name] else { continue }
        #expect(try tensor == original.tensor(), "byte \(at)")
      }
    }
  }

  /// Without a checksum any change must end in an error or in some tensors, never in a trap.
  @Test func survivesChangedBytes() throws {
    let bytes = try Fixtures.bytes("checkpoints/types.ckpt")
    for at in bytes.indices {
      for value: UInt8 in [0, 0x7F, 0x80, 0xFF] {
        var changed = bytes
        changed[at] = value
        let file = try ScratchFile(changed)
        _ = code { try DamageTests.load(MindSporeCheckpoint(), file.path) }
      }
    }
  }

  @Test func skipsUnknownFields() throws {
    let tensor: [UInt8] = [8, 2, 0x12, 4] + Array("Int8".utf8) + [0x1A, 2, 5, 6, 0x7A, 1, 9, 0x80, 1, 7]
    let value = [0x0A, 1, 0x71, 0x12, UInt8(tensor.count)] + tensor + [0xA2, 6, 1, 0]
    // A group with a number in it, and a field of 64 bits, after the record.
    let file = try ScratchFile([0x0A, UInt8(value.count)] + value + [0x93, 3, 8, 1, 0x94, 3, 0x99, 3] + Array(1...8))
    #expect(try MindSporeCheckpoint().read(file.path).tensor("q").integers == [5, 6])
  }

  private static func load(_ format: any CheckpointFormat, _ path: String) throws {
    for entry in try format.read(path).entries { _ = try entry.tensor() }
  }
}
