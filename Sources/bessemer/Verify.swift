import ArgumentParser
import Converter
import Tensors

/// Reads every byte of a bundle and compares it with the manifest's digests; or finds what each tensor of a checkpoint
/// is to those of its source.
struct Verify: Command {
  static let configuration = configure(
    "verify", "Check every byte of a bundle against its manifest, or a checkpoint against its source.",
    discussion: """
      With --source, each tensor of PATH is traced to tensors of SOURCE by content: identical, cast, transposed, \
      permuted, concatenated, split, tied, quantized. Exit code 6 when one has no such relation, 1 when a tensor of \
      SOURCE is not in PATH.
      """)

  @Argument(help: "A bundle: a folder or a packed file. With --source, a checkpoint of any format.")
  var path: String

  @Option(help: ArgumentHelp("The checkpoint that PATH was made from.", valueName: "path"))
  var source: String?

  @Flag(help: "With --source: PATH need not have all of the source.")
  var partial = false

  @OptionGroup var reading: ReadOptionGroup
  @OptionGroup var common: CommonOptions

  func validate() throws {
    if partial, source == nil { throw ValidationError("--partial goes with --source") }
  }

  func execute(_ console: Console) throws {
    let progress = console.progress("verify", unit: .bytes)
    defer { progress.finish() }
    if let source {
      let verification = try CheckpointComparison.verify(
        path, source: source, reading: reading.options(), threads: common.resources.threads
      ) { progress.update($0, of: $1) }
      progress.finish()
      return try VerifyListing(path: path, source: source, verification: verification, isPartial: partial)
        .write(console)
    }
    let result = try Bundles.verify(path) { progress.update($0, of: $1) }
    if console.isJSON {
      return try console.json("verify") { json in
        json.member("path", path)
        json.member("files", result.fileCount)
        json.member("bytes", result.byteCount)
        json.member("ok", true)
      }
    }
    try console.out.line(
      "\(escaped(path, limit: 240)): \(counted(result.fileCount, "file")), \(ByteSize(result.byteCount).text), "
        + "all as the manifest says")
  }
}
