import Foundation
import Tensors
import Testing

/// `convert` between all formats.
struct ConvertTests {
  let folder: Scratch
  static let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .appendingPathComponent("../../fixtures/checkpoints").standardized.path

  init() throws { folder = try Scratch() }

  private func fixture(_ name: String) -> String { ConvertTests.fixtures + "/" + name }

  /// A safetensors file of one float32 tensor.
  private func weights(_ values: [Float], _ name: String = "in.safetensors") throws -> String {
    let header =
      #"{"__metadata__":{"by":"test"},"w":{"dtype":"F32","shape":[\#(values.count)],"data_offsets":[0,"#
      + "\(4 * values.count)]}}"
    var bytes = withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian) { Data($0) }
    bytes += Data(header.utf8) + values.withUnsafeBytes { Data($0) }
    try bytes.write(to: URL(fileURLWithPath: folder[name]))
    return folder[name]
  }

  private func contents(_ path: String) throws -> Data { try Data(contentsOf: URL(fileURLWithPath: path)) }

  @Test func keepsEverythingOnTheWayToSafetensorsAndBack() throws {
    let (there, back) = (folder["a.safetensors"], folder["b.ckpt"])
    let result = try Tool.run("convert", fixture("types.ckpt"), there)
    #expect(result.status == 0, "\(result.error)")
    #expect(result.out.contains("wrote \(there): safetensors, 21 tensors"))
    #expect(try Tool.run("convert", there, back).status == 0)
    let (before, after) = (
      try Tool.run("inspect", fixture("types.ckpt"), "--json").json, try Tool.run("inspect", back, "--json").json
    )
    #expect(after["tensors"]?.count == 21 && after["metadata"]?["note"]?.string == "héllo")
    #expect(before["total"]?["bytes"]?.int == after["total"]?["bytes"]?.int)
    #expect(try Tool.run("convert", back, folder["c.safetensors"]).status == 0)
    #expect(try contents(there) == contents(folder["c.safetensors"]))
  }

  @Test(arguments: ["a.ckpt", "a.gguf", "a.h5", "a.npz", "a.safetensors"]) func survivesFullDisks(_ name: String) throws
  {
    let source = try weights([Float](repeating: 1, count: 1 << 16))
    for blocks in [1, 64] {
      let result = try Tool.run(fileBlocks: blocks, "convert", source, folder[name])
      #expect(result.status == 5 && result.error.hasPrefix("error: \(folder[name]): "), "\(result.error)")
      #expect(result.error.utf8.filter { $0 == 10 }.count == 1)
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["in.safetensors"])
    }
    #expect(try Tool.run("convert", source, folder[name.replacing("a.", with: "b.")]).status == 0)
  }

  @Test func encodesAndDecodesBlocks() throws {
    let (packed, copy, plain) = (folder["a.gguf"], folder["b.gguf"], folder["c.safetensors"])
    let source = fixture("gguf/whole.gguf")
    let result = try Tool.run("convert", source, packed, "--dtype", "q8_0", "--dtype", "f16=f32", "--json").json
    let types = result["tensors"]?.elements.map { ($0["from"]?.string ?? "") + " " + ($0["to"]?.string ?? "") }
    #expect(types == ["f32 q8_0", "f16 f32", "i32 i32", "q4_0 q8_0"])
    #expect(try Tool.run("convert", packed, copy).status == 0)
    #expect(try contents(packed) == contents(copy))
    #expect(try Tool.run("convert", packed, plain).status == 0)
    let listed = try Tool.run("inspect", plain).out
    #expect(listed.contains("f32     f32  [2,32]") && !listed.contains("q8_0"), "\(listed)")
    #expect(try Tool.run("convert", packed, folder["d.gguf"], "--dtype", "f32").status == 0)
    #expect(!(try Tool.run("inspect", folder["d.gguf"]).out.contains("q8_0")))
    let wide = try Tool.run("convert", source, folder["x.gguf"], "--dtype", "q4_k")
    #expect(wide.status == 4 && wide.error.contains("q4_k, whose blocks take 256"), "\(wide.error)")
    #expect(try Tool.run("convert", source, folder["x.safetensors"], "--dtype", "q8_0").status == 2)
    #expect(try Tool.run("convert", source, folder["x.gguf"], "--dtype", "q8_0", "--lossless").status == 1)
    #expect(try Tool.run("convert", source, folder["x.gguf"], "--dtype", "iq2_xs").status == 4)
    #expect(folder.names.count == 4)
  }

  @Test func copiesACheckpointWithItsChecksum() throws {
    #expect(try Tool.run("convert", fixture("crc.ckpt"), folder["a.ckpt"], "--crc").status == 0)
    #expect(try contents(folder["a.ckpt"]) == contents(fixture("crc.ckpt")))
  }

  @Test func readsArchivesAlikePackedOrNot() throws {
    for name in ["stored", "deflated"] {
      #expect(try Tool.run("convert", fixture(name + ".npz"), folder[name + ".safetensors"]).status == 0)
    }
    #expect(try contents(folder["stored.safetensors"]) == contents(folder["deflated.safetensors"]))
    #expect(try Tool.run("convert", folder["stored.safetensors"], folder["out.npz"]).status == 0)
    #expect(try Tool.run("convert", folder["out.npz"], folder["again.safetensors"]).status == 0)
    #expect(try contents(folder["again.safetensors"]) == contents(folder["stored.safetensors"]))
    #expect(folder.names.count == 4)
  }

  @Test func countsWhatACastDoes() throws {
    let values: [Float] = [1, 1.0001, 70000, 1e-9, .nan, .infinity, -0.0, 2]
    let result = try Tool.run(
      "convert", weights(values), folder["out.safetensors"], "--dtype", "fp16", "--json")
    let cast = try #require(try result.json["tensors"]?[0]?["cast"])
    #expect(try result.json["schema"]?.string == "bessemer.convert/1")
    #expect(cast["examined"]?.int == 8 && cast["changed"]?.int == 3 && cast["overflowed"]?.int == 1)
    #expect(cast["underflowed"]?.int == 1 && cast["nan"]?.int == 1)
    // 1.0001 is a tenth of a step of 2^-10 above one, and 1e-9 so much of the smallest step, 2^-24.
    #expect(abs((cast["largest_error_ulp"]?.double ?? 0) - 0.1024) < 1e-3)
    let text = try Tool.run("convert", weights(values), folder["b.safetensors"], "--dtype", "fp16")
    #expect(text.out.contains("f32 -> f16") && text.out.contains("3 of 8 changed, 1 overflowed, 1 to zero, 1 NaN"))
    #expect(text.error == "warning: 1 value did not fit the new type\n")
  }

  @Test func losslessWritesNothingThatChanged() throws {
    let lossy = try Tool.run(
      "convert", weights([1.0001]), folder["out.ckpt"], "--dtype", "bfloat16", "--lossless")
    #expect(lossy.status == 1 && lossy.error.contains("\"w\": 1 of 1 values") && folder.names == ["in.safetensors"])
    let exact = try Tool.run("convert", weights([1.5]), folder["out.ckpt"], "--dtype", "bfloat16", "--lossless")
    #expect(exact.status == 0 && exact.out.contains("exact"))
  }

  @Test func dryRunWritesNothing() throws {
    let result = try Tool.run("convert", fixture("types.ckpt"), folder["a.npz"], "--dtype", "f32", "--dry-run")
    #expect(result.status == 0 && result.out.contains("would write") && folder.names.isEmpty)
    #expect(result.out.contains("memory at most"))
    #expect(result.error.contains("npz files keep no metadata; left out 2 texts"))
  }

  @Test func writesShards() throws {
    let out = folder["shards"]
    #expect(try Tool.run("convert", fixture("types.ckpt"), out, "--shard-size", "100").status == 0)
    let listed = try Tool.run("inspect", out, "--weights-only", "--json").json
    #expect(listed["tensors"]?.count == 21 && (listed["files"]?.count ?? 0) > 2)
    #expect(try Tool.run("convert", fixture("types.ckpt"), out, "--shard-size", "100").status == 2)
    #expect(try Tool.run("convert", fixture("types.ckpt"), out, "--shard-size", "1k", "--overwrite").status == 0)
    #expect(try Tool.run("convert", out, folder["whole.safetensors"]).status == 0)
    try folder.write("shards/notes.txt", "mine")
    #expect(try Tool.run("convert", fixture("types.ckpt"), out, "--shard-size", "1k", "--overwrite").status == 2)
    #expect(
      try Tool.run("convert", fixture("crc.ckpt"), folder["x.npz"], "--shard-size", "1k", "--to", "npz").status == 2)
  }

  @Test func formatsAreToldByContent() throws {
    for name in ["types.ckpt", "stored.npz"] {
      try FileManager.default.copyItem(atPath: fixture(name), toPath: folder[name + ".bin"])
      #expect(try Tool.run("inspect", folder[name + ".bin"]).out == Tool.run("inspect", fixture(name)).out)
    }
    let list = try Tool.run("formats").out
    for word in ["mindspore", ".ckpt", "npz", "safetensors"] { #expect(list.contains(word)) }
  }

  // MARK: Maps

  @Test func mapsNamesShapesAndTypes() throws {
    try folder.write(
      "map.yaml",
      """
      rules:
      - rename: w
        to: a.w
      - reshape: a.w
        shape: [2, 3]
      - transpose: a.w
      - split: a.w
        parts: 3
        over: n
        to: a.{n}
      """)
    let input = try weights([1, 2, 3, 4, 5, 6.5])
    let arguments = [
      "convert", input, folder["out.npz"], "--map", folder["map.yaml"], "--strict", "--dtype", "a.2=f16",
    ]
    #expect(try Tool.run(arguments + ["--dry-run"]).out.contains("3 tensors, 20 B"))
    #expect(try Tool.run(arguments).status == 0)
    #expect(try Tool.run("convert", folder["out.npz"], folder["out.safetensors"]).status == 0)
    let out = try contents(folder["out.safetensors"])
    // Columns of [[1, 2, 3], [4, 5, 6.5]]; the wider type comes first.
    let data =
      withUnsafeBytes(of: (1, 4, 2, 5) as (Float, Float, Float, Float)) { Data($0) } + Data([0, 0x42, 0x80, 0x46])
    #expect(out.suffix(data.count) == data)
  }

  @Test func listsAllThatIsWrongWithAMap() throws {
    try folder.write("map.yaml", "- {rename: x, to: y}\n- {transpose: w, axes: [1]}\n")
    let input = try weights([1])
    let wrong = try Tool.run("convert", input, folder["o.npz"], "--map", folder["map.yaml"], "--verbose")
    #expect(wrong.status == 2 && wrong.error.contains("[weight-map]"))
    #expect(wrong.error.contains("line 1: \"x\" matches nothing") && wrong.error.contains("line 2: \"w\""))
    try folder.write("other.yaml", "- {drop: x, optional: true}\n")
    let strict = try Tool.run("convert", input, folder["o.npz"], "--map", folder["other.yaml"], "--strict")
    #expect(strict.status == 2 && strict.error.contains("no rule names tensor \"w\""))
    #expect(try Tool.run("convert", input, folder["o.npz"], "--map", "no-such-map").status == 2)
    #expect(try Tool.run("convert", input, folder["o.npz"], "--strict").status == 2)
    #expect(try Tool.run("convert", input, folder["o.npz"], "--dtype", "x=f16").status == 2)
    #expect(folder.names.sorted() == ["in.safetensors", "map.yaml", "other.yaml"])
  }

  @Test func goesOnAfterASignal() throws {
    let count = 4_000_000
    let header =
      #"{"a":{"dtype":"F32","shape":[\#(count)],"data_offsets":[0,\#(4 * count)]},"#
      + #""b":{"dtype":"F32","shape":[\#(count)],"data_offsets":[\#(4 * count),\#(8 * count)]}}"#
    let input = folder["big.safetensors"]
    try (withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian) { Data($0) } + Data(header.utf8))
      .write(to: URL(fileURLWithPath: input))
    truncate(input, off_t(8 + header.utf8.count + 8 * count))
    let arguments = ["convert", input, folder["out"], "--dtype", "f16", "--shard-size", "1", "--resume", "--json"]
    let first = try Tool.Running(arguments)
    let shard = folder[".out.bessemer-unfinished/model-00002-of-00002.safetensors"]
    for _ in 0..<3000 where !FileManager.default.fileExists(atPath: shard) && first.process.isRunning { usleep(2000) }
    first.process.interrupt()
    // Either it was stopped and left the first shard, or it had ended.
    if first.finish().status == 130 {
      #expect(folder.names.sorted() == [".out.bessemer-unfinished", "big.safetensors"])
      let second = try Tool.run(arguments)
      #expect(second.status == 0, "\(second.error)")
      #expect(try second.json["tensors"]?[0]?["cast"]?["examined"]?.int == count)
    }
    #expect(folder.names.sorted() == ["big.safetensors", "out"])
    #expect(try Tool.run("convert", input, folder["again"], "--dtype", "f16", "--shard-size", "1").status == 0)
    for name in [
      "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json",
    ] {
      #expect(try contents(folder["out/" + name]) == contents(folder["again/" + name]))
    }
  }

  // MARK: What goes wrong

  @Test func refusesWhatItCannotDo() throws {
    let input = try weights([1])
    let cases: [([String], Int32, String)] = [
      ([input, folder["out.txt"]], 2, "pass --to"),
      ([input, folder["out.bin"], "--to", "keras"], 2, "safetensors"),
      ([input, input, "--overwrite"], 2, "is the input itself"),
      ([input, folder["out.npz"], "--dtype", "int8"], 4, "float16"),
      ([input, folder["out.npz"], "--dtype", "nonsense"], 2, "no element type"),
      ([input, folder["out.npz"], "--crc"], 2, "--crc"),
      ([input, folder["out.npz"], "--dtype", "bf16"], 4, "npz files cannot hold bf16[1]"),
      ([input, folder["no/out.npz"]], 5, "does not exist"),
      ([folder["none.ckpt"], folder["out.npz"]], 3, "no such file"),
      ([fixture("bad-crc.npz"), folder["out.safetensors"]], 3, "checksum"),
      ([fixture("bad-checksum.ckpt"), folder["out.safetensors"]], 3, "checksum"),
      ([fixture("bad-table.ckpt"), folder["out.safetensors"]], 3, "hash table"),
      ([fixture("bad-encrypted.ckpt"), folder["out.safetensors"]], 3, "--key-file"),
      ([input, folder["out.ckpt"], "--enc-mode", "AES-GCM"], 3, "--enc-key-file"),
      ([input, folder["out.ckpt"], "--enc-mode", "rot13"], 2, "SM4-CBC"),
      ([input, folder["out.ckpt"], "--strategy", "s.ckpt"], 2, "ranks"),
    ]
    for (arguments, status, words) in cases {
      let result = try Tool.run(["convert"] + arguments)
      #expect(result.status == status && result.error.contains(words), "\(arguments): \(result.error)")
      #expect(folder.names == ["in.safetensors"], "\(arguments)")
    }
    try folder.write("old.npz", "old")
    #expect(try Tool.run("convert", input, folder["old.npz"]).status == 2)
    #expect(try Tool.run("convert", input, folder["old.npz"], "--overwrite").status == 0)
  }
}
