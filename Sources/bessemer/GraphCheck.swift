import ArgumentParser
import Converter
import IR
import Tensors

/// Parses a file of graph text and checks every rule.
struct GraphCheck: Command {
  static let configuration = configure("check", "Parse a file of graph text and check every rule of its operators.")

  @Argument(help: "A file of graph text.")
  var file: String

  @OptionGroup var common: CommonOptions

  func execute(_ console: Console) throws {
    let graph = try GraphSource.parse(file)
    if console.isJSON {
      return try console.json("graph-check") { json in
        json.member("path", file)
        json.member("name", graph.name)
        json.member("nodes", graph.nodeCount)
        json.member("ok", true)
      }
    }
    try console.out.line(
      "\(escaped(graph.name, limit: 60)): \(counted(graph.nodeCount, "node")), "
        + "\(counted(graph.inputs.count, "input")), \(counted(graph.states.count, "state")), "
        + "\(counted(graph.outputs.count, "output")); every rule holds")
  }
}
