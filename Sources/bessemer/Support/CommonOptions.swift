import ArgumentParser
import Converter

/// The options that every command takes.
struct CommonOptions: ParsableArguments {
  @Flag(help: "Write one JSON object to stdout instead of text.")
  var json = false

  @Option(
    name: [.long, .customShort("j")],
    help: ArgumentHelp("Threads to work with; the result does not depend on it.", valueName: "n"))
  var threads: Int?

  @Option(help: ArgumentHelp("Memory to stay below, such as 512M or 2GiB; more is an error.", valueName: "size"))
  var maxMemory: ByteSize?

  @Flag(help: "Replace an output that exists already.")
  var overwrite = false

  @Option(help: ArgumentHelp("How progress is shown on stderr: auto, plain, json or off.", valueName: "mode"))
  var progress = ProgressMode.auto

  @Option(help: ArgumentHelp("When stderr is coloured: auto, always or never.", valueName: "when"))
  var color = ColorMode.auto

  @Flag(name: [.short, .long], help: "Say nothing but errors on stderr.")
  var quiet = false

  @Flag(name: [.short, .long], help: "Say more on stderr, and all details of an error.")
  var verbose = false

  /// How much of the machine may be taken.
  var resources: Resources {
    Resources(threads: threads ?? Machine.processorCount, memoryLimit: maxMemory?.byteCount)
  }

  func validate() throws {
    if let threads, !(1...1024).contains(threads) {
      throw ValidationError("--threads takes a number from 1 to 1024, not \(threads)")
    }
    if quiet, verbose { throw ValidationError("--quiet and --verbose exclude each other") }
  }
}

enum ProgressMode: String, ExpressibleByArgument, CaseIterable {
  case auto, plain, json, off
}

enum ColorMode: String, ExpressibleByArgument, CaseIterable {
  case auto, always, never
}

/// The option of commands that can say what they would do.
struct DryRunOption: ParsableArguments {
  @Flag(help: "Check everything and say what would be done, but write nothing.")
  var dryRun = false
}
