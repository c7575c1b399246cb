import ArgumentParser
import Converter
import IR
import Tensors

/// Prints a graph in its text form.
struct GraphPrint: Command {
  static let configuration = configure(
    "print", "Print the graph of a model as text.",
    discussion: "The graph is printed as it is built from config.json, or with --fuse after all passes.")

  @Argument(help: "A model's folder, a bundle, or a file of graph text.")
  var model: String

  @Flag(help: "Run the passes first.")
  var fuse = false

  @OptionGroup var choice: ComponentOption
  @OptionGroup var build: BuildOptionGroup
  @OptionGroup var common: CommonOptions

  func execute(_ console: Console) throws {
    let passes = fuse ? PassOptions(target: try build.chosenTarget) : nil
    let graph = try GraphSource.graph(
      at: model, component: choice.component, options: ModelOptions(activation: try build.activation, passes: passes))
    guard console.isJSON else { return try console.out.write(graph.text) }
    try console.json("graph-text") { json in
      json.member("path", model)
      json.member("nodes", graph.nodeCount)
      json.member("text", graph.text)
    }
  }
}
