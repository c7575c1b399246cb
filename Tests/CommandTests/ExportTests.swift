import Foundation
import Tensors
import Testing

/// `export` and what goes with a bundle.
struct ExportTests {
  let folder: Scratch

  init() throws { folder = try Scratch() }

  @Test func writesVerifiesPacksAndUnpacks() throws {
    let model = try TinyModel().write(to: folder, "m")
    try folder.write("m/1_Pooling/config.json", "{}")
    let (out, packed, unpacked) = (folder["out"], folder["out.bundle"], folder["again"])
    let export = try Tool.run("export", model, out, "--json")
    #expect(export.status == 0 && export.error.isEmpty)
    #expect(try export.json["schema"]?.string == "bessemer.export/1")
    #expect(try export.json["made"]?["attention"]?.int == 1)
    #expect(FileManager.default.fileExists(atPath: out + "/1_Pooling-config.json"))
    #expect(try Tool.run("verify", out).status == 0)
    #expect(try Tool.run("inspect", out, "--graph").out.contains("rms_norm"))
    #expect(try Tool.run("pack", out, packed).status == 0)
    #expect(try Tool.run("verify", packed).status == 0)
    #expect(try Tool.run("unpack", packed, unpacked).status == 0)
    for name in try FileManager.default.contentsOfDirectory(atPath: out) {
      #expect(FileManager.default.contentsEqual(atPath: out + "/" + name, andPath: unpacked + "/" + name))
    }
  }

  @Test func isTheSameWithAnyNumberOfThreads() throws {
    let model = try TinyModel(layers: 2).write(to: folder, "m")
    for (name, threads) in [("a", "1"), ("b", "7")] {
      #expect(try Tool.run("export", model, folder[name], "--compress", "-j", threads).status == 0)
    }
    for name in try FileManager.default.contentsOfDirectory(atPath: folder["a"]) {
      #expect(FileManager.default.contentsEqual(atPath: folder["a/" + name], andPath: folder["b/" + name]))
    }
  }

  @Test func noticesDamage() throws {
    let out = folder["out"]
    #expect(try Tool.run("export", TinyModel().write(to: folder, "m"), out).status == 0)
    let handle = try #require(FileHandle(forUpdatingAtPath: out + "/weights.safetensors"))
    try handle.seek(toOffset: handle.seekToEnd() - 1)
    try handle.write(contentsOf: Data([1]))
    try handle.close()
    let result = try Tool.run("verify", out)
    #expect(result.status == 3 && result.error.contains("weights.safetensors") && result.error.contains("[digest]"))
  }

  @Test func refusesToReplaceUnlessAsked() throws {
    let (model, out) = (try TinyModel().write(to: folder, "m"), folder["out"])
    #expect(try Tool.run("export", model, out).status == 0)
    let again = try Tool.run("export", model, out)
    #expect(again.status == 2 && again.error.contains("--overwrite"))
    #expect(try Tool.run("export", model, out, "--dry-run").status == 2)
    #expect(try Tool.run("export", model, out, "--overwrite", "--no-fuse").status == 0)
    #expect(try Tool.run("verify", out).status == 0)
    try folder.write("mine/papers/notes.txt", "not a bundle")
    #expect(try Tool.run("export", model, folder["mine"], "--overwrite").status == 2)
    #expect(FileManager.default.fileExists(atPath: folder["mine/papers/notes.txt"]))
  }

  @Test(arguments: ["m", "m/", "m/out", ".", "m/../m/x"]) func keepsAwayFromTheInput(_ output: String) throws {
    let model = try TinyModel().write(to: folder, "m")
    let result = try Tool.run("export", model, folder[output], "--overwrite")
    #expect(result.status == 2 && result.error.contains("[output-is-input]"))
    #expect(folder.names == ["m"])
  }

  @Test func writesNothingOnADryRun() throws {
    let result = try Tool.run("export", TinyModel().write(to: folder, "m"), folder["out"], "--dry-run", "--verbose")
    #expect(result.status == 0 && folder.names == ["m"])
    #expect(result.out.contains("would write") && result.out.contains("model.embed_tokens.weight"))
  }

  @Test func takesTargets() throws {
    let model = try TinyModel().write(to: folder, "m")
    let arguments = ["export", model, folder["out"], "--soc-version", "ascend910b3", "--dtype", "float16", "--json"]
    let result = try Tool.run(arguments)
    #expect(try result.status == 0 && result.json["target"]?.string == "Ascend910B3")
    let unknown = try Tool.run("export", model, folder["x"], "--target", "Ascend910B33")
    #expect(unknown.status == 4 && unknown.error.contains("did you mean Ascend910B3?"))
    let integer = try Tool.run("export", model, folder["x"], "--dtype", "int8")
    #expect(integer.status == 4 && integer.error.contains("float16"))
  }

  @Test func staysBelowTheMemoryOrSaysSo() throws {
    let model = try TinyModel().write(to: folder, "m")
    #expect(try Tool.run("export", model, folder["a"], "--max-memory", "1G").status == 0)
    let result = try Tool.run("export", model, folder["b"], "--max-memory", "8M")
    #expect(result.status == 5 && result.error.contains("--max-memory"))
  }

  @Test func dumpsPasses() throws {
    let model = try TinyModel().write(to: folder, "m")
    let stopped = ["graph", "passes", model, "--dump-passes", folder["d"], "--stop-after", "fuse-rms-norm"]
    #expect(try Tool.run(stopped).status == 0)
    let names = try FileManager.default.contentsOfDirectory(atPath: folder["d"]).sorted()
    #expect(names.first == "00-start.txt" && names.last?.hasSuffix("-fuse-rms-norm.txt") == true)
    #expect(try Tool.run("graph", "check", folder["d/" + names[names.count - 1]]).status == 0)
    #expect(try Tool.run("graph", "print", folder["d/00-start.txt"]).out == Tool.run("graph", "print", model).out)
    let unknown = try Tool.run("graph", "passes", model, "--stop-after", "nothing")
    #expect(unknown.status == 2 && unknown.error.contains("fuse-rms-norm"))
  }

  @Test(arguments: [SIGINT, SIGTERM]) func leavesNothingWhenInterrupted(_ signal: Int32) throws {
    // Half a gigabyte takes long enough to hash and write for the signal to come in between.
    let model = try TinyModel(vocabulary: 1 << 17, width: 1024).write(to: folder, "m")
    let running = try Tool.Running(["export", model, folder["out"]])
    while running.process.isRunning, !folder.names.contains(where: { $0.hasPrefix(".bessemer-") }) { usleep(500) }
    kill(running.process.processIdentifier, signal)
    let result = running.finish()
    #expect(result.status == 130 && result.error.contains("[interrupted]"))
    #expect(folder.names == ["m"])
  }
}
