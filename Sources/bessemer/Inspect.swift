import ArgumentParser
import Converter
import Tensors
import Validation

/// Lists the tensors of a checkpoint or bundle and, for a model, checks that its configuration accounts for each.
struct Inspect: Command {
  static let configuration = configure(
    "inspect", "List the tensors of a model and check its configuration.",
    discussion: """
      PATH is a .safetensors file, an index.json, a folder, or a bundle. A folder is taken for a model: its \
      config.json must account for every tensor. Nothing of the weights is read, but for --stats and --digest.
      """,
    aliases: ["ls", "dump"])

  @Argument(help: "A weights file, an index, a model's folder or a bundle.")
  var path: String

  @Option(
    name: [.customLong("tensors"), .customLong("only")],
    help: ArgumentHelp("Only tensors with these names: a glob, or /REGEX/.", valueName: "pattern"))
  var tensors: String?

  @Flag(help: "Read all values and show their range, mean, deviation, and how many are zero, NaN and infinite.")
  var stats = false

  @Flag(help: "Read all values and show a digest of each tensor, and of all together.")
  var digest = false

  @Flag(help: "Show the text metadata of the files.")
  var metadata = false

  @Flag(help: "Show inputs, outputs and operators of the graph instead of the tensors.")
  var graph = false

  @Option(
    name: .customLong("size"),
    help: ArgumentHelp(
      "With --graph: a size that costs are for, like sequence=1; may be repeated.", valueName: "name=n"))
  var sizes: [String] = []

  @Flag(help: "Do not look at config.json.")
  var weightsOnly = false

  @OptionGroup var choice: ComponentOption
  @OptionGroup var reading: ReadOptionGroup
  @OptionGroup var common: CommonOptions

  func validate() throws {
    if graph, weightsOnly { throw ValidationError("--graph and --weights-only exclude each other") }
    if graph, stats || digest { throw ValidationError("--graph shows no tensors; leave out --stats and --digest") }
    if choice.component != nil, !graph { throw ValidationError("--component says which graph --graph shows") }
    if !sizes.isEmpty, !graph { throw ValidationError("--size goes with --graph") }
    _ = try chosenSizes
  }

  /// The sizes of `--size`, by name.
  private var chosenSizes: [String: Int] {
    get throws {
      var result: [String: Int] = [:]
      for text in sizes {
        let parts = text.split(separator: "=", omittingEmptySubsequences: false)
        guard parts.count == 2, let size = Int(parts[1]), (0...1 << 32).contains(size) else {
          throw ValidationError("--size takes a name and a number, like sequence=128")
        }
        result[String(parts[0])] = size
      }
      return result
    }
  }

  func execute(_ console: Console) throws {
    let location = try ModelLocation(path)
    let selector = try tensors.map { try NamePattern($0) }
    if graph {
      let set = try ModelSet(location)
      let chosen = try choice.component.map { [try set.component($0)] } ?? set.components
      return try GraphSummary(set, chosen, sizes: chosenSizes).write(console)
    }
    // What is wrong with the configuration is said before a long table.
    let inspection = try Inspection(location, selector: selector, reading: reading.options())
    let model = inspection.isModelFolder && !weightsOnly ? try checkedModel(inspection) : nil
    let listing = InspectListing(
      inspection: inspection, model: model, showsMetadata: metadata, content: try content(inspection, console))
    if console.isJSON { try listing.writeJSON(console) } else { try listing.writeText(console) }
  }

  /// What the values say, when that is asked for.
  private func content(_ inspection: Inspection, _ console: Console) throws -> InspectedContent {
    guard stats || digest else { return try InspectedContent(inspection.entries) }
    let progress = console.progress("inspect", unit: .bytes)
    defer { progress.finish() }
    let scan = try ContentScan(
      inspection.entries, statistics: stats, digests: digest, threads: common.resources.threads
    ) { progress.update($0, of: $1) }
    return try InspectedContent(inspection.entries, scan)
  }

  /// The model in a folder, so that its configuration has been checked.
  private func checkedModel(_ inspection: Inspection) throws -> ModelSet {
    do { return try ModelSet(inspection.location, weights: inspection.weights) } catch var error as BessemerError {
      if error.code == .fileMissing { error.message += "; --weights-only lists the tensors alone" }
      throw error
    }
  }
}
