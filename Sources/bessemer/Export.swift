import ArgumentParser
import Converter
import Passes
import Tensors

/// Turns a checkpoint into a bundle.
struct Export: Command {
  static let configuration = configure(
    "export", "Build a model's graph, fuse it for a target and write it as a bundle.",
    discussion: """
      The weights are written in the form in which they are used. Nothing is written unless config.json accounts for \
      every tensor; the bundle appears whole or not at all.
      """)

  @Argument(help: "The model's folder.")
  var model: String

  @Argument(help: "Where the bundle goes.")
  var output: String

  @OptionGroup var build: BuildOptionGroup
  @OptionGroup var passes: PassOptionGroup

  @Flag(help: "Store weights as zstd frames; they are unpacked when the bundle is loaded.")
  var compress = false

  @OptionGroup var dry: DryRunOption
  @OptionGroup var common: CommonOptions

  func execute(_ console: Console) throws {
    let target = try build.chosenTarget
    var options = ExportOptions(toolVersion: version)
    options.activation = try build.activation
    options.passes = passes.options(target: target, overwrite: common.overwrite)
    options.compress = compress
    options.overwrite = common.overwrite
    options.resources = common.resources
    let exporter = try Exporter(model, to: output, options: options)
    let summary: Exporter.Summary
    if dry.dryRun {
      summary = exporter.plan()
    } else {
      let progress = console.progress("export", unit: .bytes)
      defer { progress.finish() }
      summary = try exporter.write { progress.update($0, of: $1) }
    }
    let listing = ExportListing(exporter: exporter, summary: summary, isDryRun: dry.dryRun)
    if console.isJSON { try listing.writeJSON(console) } else { try listing.writeText(console) }
  }
}
