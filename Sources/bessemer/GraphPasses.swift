import ArgumentParser
import Converter
import IR
import Passes
import Tensors

/// Runs the passes over a graph and says what each did.
struct GraphPasses: Command {
  static let configuration = configure(
    "passes", "Run the passes over a graph and show what each does, with its time.")

  @Argument(help: "A model's folder, a bundle, or a file of graph text.")
  var model: String

  @OptionGroup var choice: ComponentOption
  @OptionGroup var build: BuildOptionGroup
  @OptionGroup var passes: PassOptionGroup
  @OptionGroup var common: CommonOptions

  func execute(_ console: Console) throws {
    let options = passes.options(target: try build.chosenTarget, overwrite: common.overwrite)
    var graph = try GraphSource.graph(
      at: model, component: choice.component, options: ModelOptions(activation: try build.activation))
    let before = OperatorCounts(graph)
    let nodeCount = graph.nodeCount
    let report = try options.run(on: &graph)
    if console.isJSON {
      return try console.json("graph-passes") { json in
        json.member("path", model)
        json.member("nodes", nodeCount)
        PassListing(report, before: before, after: OperatorCounts(graph)).writeJSON(&json)
      }
    }
    var table = Table([("pass", .left), ("nodes", .right), ("time", .right), ("", .left)])
    table.row("start", grouped(nodeCount), "", "")
    for step in report.steps {
      table.row(step.pass, grouped(step.nodeCount), duration(step.seconds), step.changed ? "" : "unchanged")
    }
    try table.write(to: console.out)
    try console.out.line()
    try PassListing(report, before: before, after: OperatorCounts(graph)).writeText(console)
    if let folder = passes.dumpPasses { console.note("graphs written to \(escaped(folder))") }
  }
}
