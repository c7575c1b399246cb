import ArgumentParser
import Converter

/// Makes a bundle's folder of one file.
struct Unpack: Command {
  static let configuration = configure("unpack", "Make a folder of a packed bundle.")

  @Argument(help: "A packed bundle.")
  var bundle: String

  @Argument(help: "The folder to write.")
  var output: String

  @OptionGroup var dry: DryRunOption
  @OptionGroup var common: CommonOptions

  func execute(_ console: Console) throws {
    let progress = console.progress("unpack", unit: .bytes)
    defer { progress.finish() }
    let result = try Bundles.unpack(
      bundle, to: output, overwrite: common.overwrite, isDryRun: dry.dryRun
    ) { progress.update($0, of: $1) }
    try PackListing(bundle, output, result, isDryRun: dry.dryRun).write("unpack", console)
  }
}
