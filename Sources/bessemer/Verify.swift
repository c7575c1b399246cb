import ArgumentParser
import Converter
import Tensors

/// Reads every byte of a bundle and compares it with the manifest's digests.
struct Verify: Command {
  static let configuration = configure("verify", "Check every byte of a bundle against its manifest.")

  @Argument(help: "A bundle: a folder or a packed file.")
  var bundle: String

  @OptionGroup var common: CommonOptions

  func execute(_ console: Console) throws {
    let progress = console.progress("verify", unit: .bytes)
    defer { progress.finish() }
    let result = try Bundles.verify(bundle) { progress.update($0, of: $1) }
    if console.isJSON {
      return try console.json("verify") { json in
        json.member("path", bundle)
        json.member("files", result.fileCount)
        json.member("bytes", result.byteCount)
        json.member("ok", true)
      }
    }
    try console.out.line(
      "\(escaped(bundle, limit: 240)): \(counted(result.fileCount, "file")), \(ByteSize(result.byteCount).text), "
        + "all as the manifest says")
  }
}
