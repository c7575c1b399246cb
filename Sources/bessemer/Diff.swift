import ArgumentParser
import Converter
import Tensors
import Validation

/// Shows what two checkpoints differ in.
struct Diff: Command {
  static let configuration = configure(
    "diff", "Show what two checkpoints of any formats differ in.",
    discussion: "Exit code 1 when they differ, 0 when all tensors of both are the same.")

  @Argument(help: "A checkpoint: a file of any format, an index, or a folder.")
  var old: String

  @Argument(help: "The checkpoint to hold against it.")
  var new: String

  @Option(
    name: [.customLong("only")],
    help: ArgumentHelp("Only tensors with these names: a glob, or /REGEX/.", valueName: "pattern"))
  var only: String?

  @Option(
    help: ArgumentHelp("How tensors are paired whose names differ: names (not at all) or content.", valueName: "how"))
  var match = DiffMatch.names

  @Option(help: ArgumentHelp("Write a map that makes NEW of OLD, for `convert --map`.", valueName: "file"))
  var emitMap: String?

  @OptionGroup var reading: ReadOptionGroup
  @OptionGroup var common: CommonOptions

  func execute(_ console: Console) throws {
    let progress = console.progress("diff", unit: .bytes)
    defer { progress.finish() }
    let (diff, omitted) = try CheckpointComparison.diff(
      old, new, reading: reading.options(), only: try only.map { try NamePattern($0) },
      match: match == .content ? .content : .names,
      threads: common.resources.threads,
      mapPath: emitMap, overwrite: common.overwrite
    ) { progress.update($0, of: $1) }
    progress.finish()
    let listing = DiffListing(old: old, new: new, diff: diff)
    if console.isJSON { try listing.writeJSON(console) } else { try listing.writeText(console) }
    if let first = omitted.first {
      let others = omitted.count > 1 ? " (and \(grouped(omitted.count - 1)) more, at the map's start)" : ""
      console.note("the map does not say all: \(escaped(first, limit: 200))\(others)")
    }
    guard diff.isEmpty else {
      try console.out.flush()
      throw ExitCode(ErrorCode.comparison.exitStatus.rawValue)
    }
  }
}

/// How `diff` pairs tensors whose names differ.
enum DiffMatch: String, ExpressibleByArgument, CaseIterable {
  case names, content
}
