import Converter
import IR
import Tensors

/// Inputs, states, outputs and operators of a model's graphs, for people.
struct GraphSummary {
  private let set: ModelSet
  private let chosen: [LoadedModel]

  /// - Parameter chosen: the components to speak of.
  init(_ set: ModelSet, _ chosen: [LoadedModel]) { (self.set, self.chosen) = (set, chosen) }

  func write(_ console: Console) throws {
    guard console.isJSON else {
      for (k, model) in chosen.enumerated() {
        if k > 0 { try console.out.line() }
        try write(model, console)
      }
      return
    }
    try console.json("graph") { json in
      json.member("path", set.path)
      guard set.components.count > 1 else { return write(chosen[0], &json) }
      json.member("model", set.modelType)
      json.member("kind", set.kind.rawValue)
      json.array("components") { json in
        for model in chosen {
          json.object { json in
            json.member("name", model.name)
            write(model, &json)
          }
        }
      }
    }
  }

  private func write(_ model: LoadedModel, _ console: Console) throws {
    let graph = model.graph
    if set.components.count > 1 { try console.out.line("component \(escaped(model.name, limit: 80))") }
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

  private func write(_ model: LoadedModel, _ json: inout JSONWriter) {
    let graph = model.graph
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
