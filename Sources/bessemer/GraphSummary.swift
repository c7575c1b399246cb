import Converter
import IR
import Tensors

/// Inputs, states, outputs and operators of a model's graph, for people.
struct GraphSummary {
  private let model: LoadedModel

  init(_ model: LoadedModel) { self.model = model }

  func write(_ console: Console) throws {
    if console.isJSON { return try console.json("graph") { writeJSON(&$0) } }
    let graph = model.graph
    var table = Table([("", .left), ("", .left), ("", .left), ("", .left)])
    for input in graph.inputs {
      let initial = input.initial.map { "= \($0.rawValue) if not given" } ?? ""
      table.row("input", escaped(input.name, limit: 80), graph.type(of: input.value).description, initial)
    }
    for state in graph.states.prefix(4) {
      let growth = "grows along axis \(state.axis) up to \(state.capacity)"
      table.row("state", escaped(state.name, limit: 80), graph.type(of: state.value).description, growth)
    }
    for output in graph.outputs {
      table.row("output", escaped(output.name, limit: 80), graph.type(of: output.value).description, "")
    }
    try table.write(to: console.out)
    if graph.states.count > 4 { try console.out.line("and \(counted(graph.states.count - 4, "more state"))") }
    try console.out.line()
    var counts = Table([("operator", .left), ("count", .right)])
    for (name, count) in OperatorCounts(graph).sorted {
      counts.add(name)
      counts.add(count)
    }
    try counts.write(to: console.out)
    try console.out.line()
    try console.out.line(
      "\(escaped(graph.name, limit: 60)) for \(model.kind.rawValue): \(counted(graph.nodeCount, "node")), "
        + "\(counted(model.weights.entries.count, "tensor")), \(ByteSize(model.weights.byteCount).text)")
  }

  func writeJSON(_ json: inout JSONWriter) {
    let graph = model.graph
    json.member("path", model.path)
    json.member("model", model.modelType)
    json.member("kind", model.kind.rawValue)
    json.array("inputs") { json in
      for input in graph.inputs {
        json.object { json in
          json.member("name", input.name)
          json.member("type", graph.type(of: input.value).description)
          if let initial = input.initial { json.member("default", initial.rawValue) } else { json.null("default") }
        }
      }
    }
    json.array("states") { json in
      for state in graph.states {
        json.object { json in
          json.member("name", state.name)
          json.member("type", graph.type(of: state.value).description)
          json.member("axis", state.axis)
          json.member("capacity", state.capacity)
        }
      }
    }
    json.array("outputs") { json in
      for output in graph.outputs {
        json.object { json in
          json.member("name", output.name)
          json.member("type", graph.type(of: output.value).description)
        }
      }
    }
    json.object("operators") { json in
      for (name, count) in OperatorCounts(graph).sorted { json.member(name, count) }
    }
  }
}
