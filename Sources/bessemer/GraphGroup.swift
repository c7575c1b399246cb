import ArgumentParser

/// The commands about graphs.
struct GraphGroup: ParsableCommand {
  static let configuration = configure(
    "graph", "Print, rewrite and check graphs.",
    subcommands: [GraphCheck.self, GraphOps.self, GraphPasses.self, GraphPrint.self])
}
