import Glibc
import Safetensors
import TestSupport
import Tensors
import Testing

/// Collects what is written; fails at a chosen byte.
final class MemorySink: ByteSink {
  struct Full: Error {}
  private(set) var content: [UInt8] = []
  private let capacity: Int

  init(capacity: Int = .max) { self.capacity = capacity }

  var position: Int { content.count }

  func write(_ bytes: UnsafeRawBufferPointer) throws {
    guard content.count + bytes.count <= capacity else { throw Full() }
    content.append(contentsOf: bytes)
  }
}

/// A file of this header and these bytes.
func file(_ header: String, _ data: [UInt8] = []) -> Bytes {
  let count = header.utf8.count
  return Bytes((0..<8).map { UInt8(truncatingIfNeeded: count >> ($0 * 8)) } + Array(header.utf8) + data)
}

@Suite struct SafetensorsFileTests {
  @Test func reads() throws {
    let header = """
      {"__metadata__":{"format":"pt"},"b":{"dtype":"I64","shape":[],"data_offsets":[2,10]},\
      "e":{"dtype":"F32","shape":[3,0],"data_offsets":[2,2]},"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}
      """
    let store = try SafetensorsFile(file(header + "   ", [1, 2, 3, 0, 0, 0, 0, 0, 0, 0])).store()
    #expect(store.entries.map(\.name) == ["a", "e", "b"])
    #expect(try store.tensor("b").integers == [3] && store.tensor("a").integers == [1, 2])
    #expect(store["e"]?.shape == [3, 0] && store.metadata == ["format": "pt"])
  }

  /// Header, data bytes, code and part of the message.
  static let refused: [(String, Int, ErrorCode, String)] = [
    ("[]", 0, .header, "expected an object of tensors"), ("{} {}", 0, .json, "after the JSON value"),
    ("{\"a\":1}", 0, .tensorEntry, "tensor \"a\" is 1"), ("{\"a\":{}}", 0, .tensorEntry, "lacks dtype"),
    ("{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1, .tensorEntry, "lacks data_offsets"),
    ("{\"a\":{\"dtype\":\"Q4\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, .unsupportedType, "unknown dtype \"Q4\""),
    ("{\"a\":{\"dtype\":8,\"shape\":[1],\"data_offsets\":[0,1]}}", 1, .tensorEntry, "has 8 as dtype"),
    ("{\"a\":{\"dtype\":\"U8\",\"shape\":[1.0],\"data_offsets\":[0,1]}}", 1, .tensorEntry, "as a dimension"),
    ("{\"a\":{\"dtype\":\"U8\",\"shape\":[-0],\"data_offsets\":[0,0]}}", 0, .tensorEntry, "as a dimension"),
    (
      "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"x\":0}}", 1, .tensorEntry, "unknown member \"x\""
    ),
    ("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,0]}}", 1, .tensorLayout, "end before they begin"),
    ("{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,1]}}", 1, .tensorLayout, "takes 2 bytes"),
    ("{\"a\":{\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,2]}}", 2, .tensorLayout, "no whole number of bytes"),
    ("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}", 2, .tensorLayout, "hole of 1 bytes"),
    ("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 2, .tensorLayout, "1 bytes after the last"),
    ("{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}", 1, .truncated, "truncated"),
    ("{\"__metadata__\":null}", 0, .header, "expected an object of strings"),
    ("{\"__metadata__\":{\"a\":1}}", 0, .header, "\"__metadata__.a\" is 1"),
    (
      "{\"a\":{\"dtype\":\"U8\",\"shape\":[" + String(repeating: "1,", count: 32) + "1],\"data_offsets\":[0,1]}}", 1,
      .limit,
      "33 dimensions"
    ),
  ]

  @Test(arguments: refused)
  func refuses(header: String, dataByteCount: Int, code: ErrorCode, message: String) {
    let bytes = file(header, [UInt8](repeating: 0, count: dataByteCount))
    let error = #expect(throws: BessemerError.self) { try SafetensorsFile(bytes, path: "f") }
    #expect(error?.code == code && error?.file == "f")
    #expect(error?.message.contains(message) == true, "\(error?.message ?? "")")
  }

  @Test func namesOtherFormats() {
    let pages: [([UInt8], String)] = [
      (Array("version https://git-lfs.github.com/spec/v1\noid".utf8), "git-lfs"),
      (Array("<!DOCTYPE html>".utf8), "HTML"),
      (Array("GGUF\u{3}\0\0\0".utf8), "GGUF"), ([0x50, 0x4B, 3, 4, 0, 0, 0, 9], "zip"),
      ([0x80, 2, 0x63, 0x6F, 0x73, 1, 1, 1], "pickle"),
      (Array("{\n  \"weight_map\": {}}".utf8), "JSON"), ([0x89, 0x48, 0x44, 0x46, 13, 10, 26, 10], "HDF5"),
    ]
    for (start, name) in pages {
      let error = #expect(throws: BessemerError.self) { try SafetensorsFile(Bytes(start)) }
      #expect(error?.code == .wrongFormat && error?.message.contains(name) == true, "\(error?.message ?? "")")
    }
  }

  @Test func everyTypeHasOneName() {
    let without: Set<DType> = [.int4, .uint4, .hifloat8, .complex128]
    for dtype in DType.allCases {
      #expect((dtype.safetensorsName == nil) == without.contains(dtype))
      if let name = dtype.safetensorsName { #expect(DType(safetensorsName: name) == dtype) }
    }
    #expect(DType(safetensorsName: "f32") == nil)
  }
}

@Suite struct SafetensorsWriterTests {
  @Test func writesAsTheReferenceDoes() throws {
    var store = TensorStore()
    store.metadata = ["format": "pt"]
    try store.append("b", Tensor(.uint8, shape: [3], integers: [0, 0, 0]))
    try store.append("a", Tensor([0, 0] as [Float], shape: [2]))
    try store.append("z", Tensor(.float64, shape: [1], doubles: [0]))
    try store.append("m", Tensor(.bfloat16, shape: [2], doubles: [0, 0]))
    let sink = MemorySink()
    let writer = try SafetensorsWriter(store)
    try writer.write(to: sink)
    // The header that safetensors 0.8.0 writes for these tensors.
    let header = """
      {"__metadata__":{"format":"pt"},"z":{"dtype":"F64","shape":[1],"data_offsets":[0,8]},\
      "a":{"dtype":"F32","shape":[2],"data_offsets":[8,16]},"m":{"dtype":"BF16","shape":[2],"data_offsets":[16,20]},\
      "b":{"dtype":"U8","shape":[3],"data_offsets":[20,23]}}
      """
    #expect(sink.content == [0, 1, 0, 0, 0, 0, 0, 0] + (header + "       ").utf8 + [UInt8](repeating: 0, count: 23))
    #expect(writer.byteCount == sink.content.count)
  }

  @Test func refusesWhatTheFormatLacks() throws {
    let bytes = Bytes([0, 0])
    func write(_ entries: [SafetensorsWriter.Entry]) -> ErrorCode? { code { _ = try SafetensorsWriter(entries) } }
    let int4 = try Tensor(.int4, shape: [4], bytes: bytes)
    #expect(write([SafetensorsWriter.Entry("q", int4)]) == .unsupportedType)
    let good = SafetensorsWriter.Entry("a", try Tensor(.uint8, shape: [2], bytes: bytes))
    #expect(write([good, good]) == .duplicateName)
    #expect(
      write([SafetensorsWriter.Entry("__metadata__", try Tensor(.uint8, shape: [2], bytes: bytes))]) == .tensorEntry)
    #expect(write([SafetensorsWriter.Entry("f", .float4e2m1, shape: [3]) { _ in }]) == .tensorLayout)
    #expect(write([SafetensorsWriter.Entry("f", .uint8, shape: [-1]) { _ in }]) == .tensorLayout)
    #expect(write([SafetensorsWriter.Entry("f", .uint8, shape: [Int](repeating: 1, count: 33)) { _ in }]) == .limit)
    let short = SafetensorsWriter.Entry("s", .uint8, shape: [3]) { try $0.write([1, 2]) }
    #expect(code { try SafetensorsWriter([short]).write(to: MemorySink()) } == .outputFailed)
  }

  @Test(arguments: 0..<40 as Range<UInt64>)
  func whatIsWrittenIsRead(seed: UInt64) throws {
    var random = SplitMix64(seed: seed)
    let store = try randomStore(&random)
    for order in [SafetensorsWriter.Order.reference, .aligned, .given] {
      let sink = MemorySink()
      try SafetensorsWriter(store, order: order).write(to: sink)
      let read = try SafetensorsFile(Bytes(sink.content)).store()
      #expect(Set(read.entries.map(\.name)) == Set(store.entries.map(\.name)), "seed \(seed)")
      #expect(read.metadata == store.metadata, "seed \(seed)")
      for entry in read.entries {
        #expect(try entry.tensor() == store.tensor(entry.name), "seed \(seed), \(entry.name)")
      }
      if order == .given { #expect(read.entries.map(\.name) == store.entries.map(\.name), "seed \(seed)") }
      let again = MemorySink()
      try SafetensorsWriter(read, order: order).write(to: again)
      #expect(again.content == sink.content, "seed \(seed)")
      if order == .aligned { try expectAligned(sink.content) }
    }
  }

  /// Every tensor starts at a multiple of the power of two, up to 64, that divides its size.
  private func expectAligned(_ content: [UInt8]) throws {
    let start = 8 + Int(content[0]) + Int(content[1]) << 8 + Int(content[2]) << 16
    #expect(start % 64 == 0)
    for entry in try SafetensorsFile(Bytes(content)).header.entries where !entry.range.isEmpty {
      #expect(entry.range.lowerBound % min(64, 1 << entry.range.count.trailingZeroBitCount) == 0)
    }
  }

  @Test(arguments: 0..<6 as Range<UInt64>)
  func everyPrefixIsRefused(seed: UInt64) throws {
    var random = SplitMix64(seed: seed)
    let sink = MemorySink()
    try SafetensorsWriter(randomStore(&random)).write(to: sink)
    for count in 0..<sink.content.count {
      let prefix = Bytes(sink.content[..<count])
      #expect(code { _ = try SafetensorsFile(prefix) } != nil, "seed \(seed), \(count) bytes")
    }
    #expect(code { _ = try SafetensorsFile(Bytes(sink.content + [0])) } == .tensorLayout)
  }

  @Test func everyFullSinkIsAnError() throws {
    var random = SplitMix64(seed: 3)
    let writer = try SafetensorsWriter(randomStore(&random))
    for capacity in 0..<writer.byteCount {
      #expect(throws: MemorySink.Full.self) { try writer.write(to: MemorySink(capacity: capacity)) }
    }
    try writer.write(to: MemorySink(capacity: writer.byteCount))
  }

  private func randomStore(_ random: inout SplitMix64) throws -> TensorStore {
    var store = TensorStore()
    let alphabet = Array("abc.é\u{301}\"\\\n\u{1F600}层/ ")
    func text(_ random: inout SplitMix64) -> String {
      String(
        (0..<Int.random(in: 0...9, using: &random)).map { _ in
          alphabet[Int.random(in: 0..<alphabet.count, using: &random)]
        })
    }
    let types = DType.allCases.filter { $0.safetensorsName != nil }
    for _ in 0..<Int.random(in: 0...7, using: &random) {
      let dtype = types[Int.random(in: 0..<types.count, using: &random)]
      var shape = (0..<Int.random(in: 0...4, using: &random)).map { _ in Int.random(in: 0...4, using: &random) }
      if dtype.bits < 8 { shape.append(8) }
      let count = try #require(Tensor.byteCount(dtype, shape: shape))
      let bytes = (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
      let name = TensorName(text(&random))
      if store[name] == nil { try store.append(name, Tensor(dtype, shape: shape, bytes: Bytes(bytes))) }
    }
    for _ in 0..<Int.random(in: 0...3, using: &random) { store.metadata[TensorName(text(&random))] = text(&random) }
    return store
  }
}

@Suite struct SafetensorsCheckpointTests {
  @Test(arguments: 0..<8 as Range<UInt64>)
  func shards(seed: UInt64) throws {
    var random = SplitMix64(seed: seed)
    var template = Array("/tmp/bessemer-test-XXXXXX".utf8CString)
    let scratch = template.withUnsafeMutableBufferPointer { String(cString: mkdtemp($0.baseAddress!)) }
    defer {
      for name in (try? InputFolder(path: scratch + "/m").names()) ?? [] { unlink(scratch + "/m/" + name) }
      rmdir(scratch + "/m")
      rmdir(scratch)
    }
    var store = TensorStore()
    for number in 0..<20 {
      let bytes = (0..<Int.random(in: 0...50, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
      try store.append(TensorName("t\(number)"), Tensor(.uint8, shape: [bytes.count], bytes: Bytes(bytes)))
    }
    store.metadata = ["format": "pt"]
    let limit = Int.random(in: 1...700, using: &random)
    let writer = try ShardedWriter(
      store.entries.map(SafetensorsWriter.Entry.init), metadata: store.metadata, maxShardByteCount: limit)
    try AtomicFolder.write(to: scratch + "/m") { try writer.write(to: $0) }
    #expect(try InputFolder(path: scratch + "/m").names() == writer.fileNames.sorted())
    let read = try SafetensorsCheckpoint.read(scratch + "/m")
    #expect(read.byteCount == store.byteCount && read.entries.count == 20 && read.metadata == store.metadata)
    for entry in read.entries { #expect(try entry.tensor() == store.tensor(entry.name), "seed \(seed)") }
    guard writer.fileNames.count > 1, let index = writer.fileNames.last else { return }
    #expect(index == "model.safetensors.index.json")
    let byIndex = try SafetensorsCheckpoint.read(scratch + "/m/" + index)
    #expect(byIndex.entries.map(\.name) == read.entries.map(\.name))
    // Without the index, the shards together still make the checkpoint; with it, a missing one is an error.
    let first = scratch + "/m/" + writer.fileNames[0]
    rename(first, first + ".away")
    #expect(code { _ = try SafetensorsCheckpoint.read(scratch + "/m") } == .fileMissing)
    rename(first + ".away", first)
    unlink(scratch + "/m/" + index)
    #expect(try SafetensorsCheckpoint.read(scratch + "/m").entries.count == 20)
    unlink(first)
    #expect(code { _ = try SafetensorsCheckpoint.read(scratch + "/m/missing.safetensors") } == .fileMissing)
  }
}
