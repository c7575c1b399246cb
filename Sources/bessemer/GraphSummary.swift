import Converter
import IR
import Tensors

/// Inputs, states, outputs and operators of a model's graph, and what running it once takes.
struct GraphSummary {
  private let model: LoadedModel
  private let cost: GraphCost

  /// - Parameter sizes: what the costs are for, see ``GraphCost``.
  init(_ model: LoadedModel, sizes: [String: Int]) throws {
    self.model = model
    cost = try GraphCost(model.graph, sizes: sizes)
  }

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
    var counts = Table([("operator", .left), ("count", .right), ("operations", .right), ("bytes", .right)])
    for (name, count) in OperatorCounts(graph).sorted {
      counts.add(name)
      counts.add(count)
      counts.add(cost.byOperator[name])
    }
    counts.add("all")
    counts.add(graph.nodeCount)
    counts.add(cost.total)
    try counts.write(to: console.out)
    let sizes = cost.symbols.sorted { $0.key < $1.key }.map { "\(escaped($0.key, limit: 40)) \($0.value)" }
    try console.out.line("operations and bytes of one run with " + sizes.joined(separator: ", "))
    try console.out.line()
    try console.out.line(
      "\(escaped(graph.name, limit: 60)) for \(model.kind.rawValue): \(counted(graph.nodeCount, "node")), "
        + "\(counted(model.weights.entries.count, "tensor")), \(counted(cost.parameterCount, "parameter")), \(ByteSize(model.weights.byteCount).text)"
    )
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
    json.object("operator_costs") { json in
      for (name, cost) in cost.byOperator.sorted(by: { $0.key < $1.key }) {
        json.object(name) { $0.cost(cost) }
      }
    }
    json.object("cost") { json in
      json.object("sizes") { json in
        for (name, size) in cost.symbols.sorted(by: { $0.key < $1.key }) { json.member(name, size) }
      }
      json.member("parameters", cost.parameterCount)
      json.cost(cost.total)
    }
  }
}

extension JSONWriter {
  fileprivate mutating func cost(_ cost: OpCost) {
    member("operations", cost.operations)
    member("bytes", cost.bytes)
  }
}

extension Table {
  /// Two cells: operations and bytes; empty for what costs nothing.
  fileprivate mutating func add(_ cost: OpCost?) {
    let cost = cost ?? OpCost()
    add(cost.operations == 0 ? "" : OpCost.text(cost.operations))
    add(cost.bytes == 0 ? "" : ByteSize(Int(min(cost.bytes, 1e18))).text)
  }
}

extension OpCost {
  /// `1.25 G`: three digits and a power of a thousand.
  fileprivate static func text(_ operations: Double) -> String {
    var (value, unit) = (operations, 0)
    while value >= 1000, unit < 6 { (value, unit) = (value / 1000, unit + 1) }
    return significant(value, 3) + ["", " k", " M", " G", " T", " P", " E"][unit]
  }
}
