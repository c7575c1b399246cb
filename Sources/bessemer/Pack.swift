import ArgumentParser
import Converter
import Tensors

/// Makes one file of a bundle's folder.
struct Pack: Command {
  static let configuration = configure("pack", "Make one file of a bundle.")

  @Argument(help: "A bundle's folder.")
  var bundle: String

  @Argument(help: "The file to write.")
  var output: String

  @OptionGroup var dry: DryRunOption
  @OptionGroup var common: CommonOptions

  func execute(_ console: Console) throws {
    let progress = console.progress("pack", unit: .bytes)
    defer { progress.finish() }
    let result = try Bundles.pack(
      bundle, to: output, overwrite: common.overwrite, isDryRun: dry.dryRun
    ) { progress.update($0, of: $1) }
    try PackListing(bundle, output, result, isDryRun: dry.dryRun).write("pack", console)
  }
}

/// What `pack` and `unpack` say of their work.
struct PackListing {
  private let input: String
  private let output: String
  private let result: Bundles.Extent
  private let isDryRun: Bool

  init(_ input: String, _ output: String, _ result: Bundles.Extent, isDryRun: Bool) {
    self.input = input
    self.output = output
    self.result = result
    self.isDryRun = isDryRun
  }

  func write(_ schema: String, _ console: Console) throws {
    if console.isJSON {
      return try console.json(schema) { json in
        json.member("input", input)
        json.member("output", output)
        json.member("dry_run", isDryRun)
        json.member("files", result.fileCount)
        json.member("bytes", result.byteCount)
      }
    }
    try console.out.line(
      "\(isDryRun ? "would write" : "wrote") \(escaped(output, limit: 240)): \(counted(result.fileCount, "file")), "
        + ByteSize(result.byteCount).text)
  }
}
