@testable import Checkpoints
import Foundation
import TestSupport
import Tensors
import Testing

/// Encrypted checkpoints of MindSpore.
@Suite struct EncryptionTests {
  static let files = [
    "aes-gcm.ckpt", "aes-cbc.ckpt", "sm4-cbc.ckpt", "old-gcm.ckpt", "old-cbc.ckpt", "trailer.ckpt",
  ]

  static func path(_ name: String) -> String { Fixtures.folder + "/mindspore/" + name }

  static func reader(_ key: CipherKey? = nil) throws -> MindSporeCheckpoint {
    var options = ReadOptions()
    options.key = try key ?? CipherKey(file: path("key.txt"))
    return MindSporeCheckpoint().reading(with: options)
  }

  static func load(_ path: String, _ format: MindSporeCheckpoint) throws -> [Tensor] {
    try format.read(path).entries.map { try $0.tensor() }
  }

  @Test(arguments: files) func readsWhatMindSporeWrites(_ name: String) throws {
    let (plain, store) = (
      try MindSporeCheckpoint().read(Self.path("plain.ckpt")), try Self.reader().read(Self.path(name))
    )
    #expect(store.entries.map(\.name) == plain.entries.map(\.name) && store.metadata == plain.metadata)
    for (a, b) in zip(plain.entries, store.entries) { #expect(try a.tensor() == b.tensor(), "\(a.name)") }
  }

  @Test(arguments: files) func needsItsKey(_ name: String) throws {
    #expect(code { _ = try MindSporeCheckpoint().read(Self.path(name)) } == .key)
    for text in ["sixteen letters?", "twenty-four letters long", "hex:00112233445566778899aabbccddeeff"] {
      let reader = try Self.reader(CipherKey(text: Array(text.utf8)))
      #expect(code { _ = try Self.load(Self.path(name), reader) } == .key, "\(text)")
    }
  }

  @Test func refusesAKeyThatIsNotNeeded() throws {
    #expect(code { _ = try Self.reader().read(Self.path("plain.ckpt")) } == .usage)
  }

  /// A changed byte of a block that has a tag is found; elsewhere it never ends in a trap.
  @Test(arguments: files) func findsChangedBytes(_ name: String) throws {
    let bytes = try Fixtures.bytes("mindspore/" + name)
    let whole = try Self.load(Self.path(name), Self.reader())
    for at in bytes.indices where at < 64 || at % 5 == 0 {
      var changed = bytes
      changed[at] ^= 1 << UInt8(at % 8)
      let file = try ScratchFile(changed)
      guard let tensors = try? Self.load(file.path, Self.reader()) else { continue }
      guard name == "aes-gcm.ckpt" else { continue }
      // Of the vector only the first 12 bytes count.
      #expect(tensors == whole && (40..<44).contains(at), "byte \(at)")
    }
  }

  @Test(arguments: files) func refusesEveryPrefix(_ name: String) throws {
    let bytes = try Fixtures.bytes("mindspore/" + name)
    for count in 0..<bytes.count where count < 64 || count % 9 == 0 || count > bytes.count - 20 {
      let file = try ScratchFile(Array(bytes[..<count]))
      let found = code { _ = try Self.load(file.path, Self.reader()) }
      #expect(found != nil || (name == "trailer.ckpt" && count == bytes.count - 17), "\(count) of \(bytes.count)")
    }
  }

  @Test func readsKeys() throws {
    for text in [
      "sixteen letters!", "sixteen letters!\n", "sixteen letters!\r\n", "hex:7369787465656e206c65747465727321\n",
    ] {
      #expect(try CipherKey(text: Array(text.utf8)).bytes == Array("sixteen letters!".utf8), "\(text)")
    }
    for text in ["", "short", "fifteen letters", "hex:0g112233445566778899aabbccddeeff", "hex:00"] {
      #expect(code { _ = try CipherKey(text: Array(text.utf8)) } == .key, "\(text)")
    }
    #expect(code { _ = try Encryption(.sm4CBC, CipherKey(text: Array(repeating: 65, count: 24))) } == .key)
  }

  /// What is written is read again, around the sizes of blocks, and nothing of it stands in the file as it is.
  @Test(arguments: CipherMode.allCases) func writesWhatItReads(_ mode: CipherMode) throws {
    let key = try CipherKey(file: Self.path("key.txt"))
    for byteCount in [1, 15, 16, 17, EncryptingSink.blockByteCount - 30, EncryptingSink.blockByteCount * 2 + 7] {
      var random = SplitMix64(seed: UInt64(byteCount))
      let tensor = try Tensor(.uint8, shape: [byteCount], bytes: Bytes((0..<byteCount).map { _ in random.byte() }))
      let entries = [CheckpointEntry("w", .uint8, shape: [byteCount]) { try $0.write(tensor.bytes) }]
      let file = try ScratchFile()
      try MindSporeCheckpoint(encryption: Encryption(mode, key)).write(
        entries, metadata: ["note": "x"], to: file.path, overwrite: true)
      let store = try Self.reader().read(file.path)
      #expect(try store.tensor("w") == tensor && store.metadata == ["note": "x"], "\(byteCount)")
      guard byteCount > 1000 else { continue }
      let content = try Data(contentsOf: URL(fileURLWithPath: file.path))
      #expect(content.range(of: Data(tensor.bytes.array[900..<932])) == nil)
      // A piece is the same whether it is asked for alone or with all.
      let source = try EncryptedFile.open(InputFile(path: file.path), mode: mode, key: key)
      let whole = try source.bytes(0..<source.count)
      for _ in 0..<50 {
        let start = Int(random.next() % UInt64(source.count))
        let end = start + Int(random.next() % UInt64(min(70, source.count - start + 1)))
        #expect(try source.bytes(start..<end) == whole[start..<end])
      }
    }
  }
}

extension SplitMix64 {
  mutating func byte() -> UInt8 { UInt8(truncatingIfNeeded: next()) }
}
