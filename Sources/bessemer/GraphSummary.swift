import Converter
import IR
import Tensors

/// Inputs, states, outputs and operators of a model's graphs, and what running them once takes.
struct GraphSummary {
  private let set: ModelSet
  private let chosen: [(model: LoadedModel, cost: GraphCost)]

  /// - Parameters:
  ///   - chosen: the components to speak of.
  ///   - sizes: what the costs are for, see ``GraphCost``.
  /// - Throws: ``ErrorCode/usage`` for a size that no component has.
  init(_ set: ModelSet, _ chosen: [LoadedModel], sizes: [String: Int]) throws {
    self.set = set
    let known = chosen.map { GraphCost.defaultSizes(of: $0.graph) }
    if let unknown = sizes.keys.sorted().first(where: { name in !known.contains { $0[name] != nil } }) {
      let names = Set(known.flatMap(\.keys)).sorted().joined(separator: ", ")
      throw BessemerError(.usage, "the graph has no size \(quoted(unknown)), only \(names)")
    }
    self.chosen = try zip(chosen, known).map { model, known in
      (model, try GraphCost(model.graph, sizes: known.merging(sizes.filter { known[$0.key] != nil }) { $1 }))
    }
  }

  func write(_ console: Console) throws {
    guard console.isJSON else {
      for (k, (model, cost)) in chosen.enumerated() {
        if k > 0 { try console.out.line() }
        try write(model, cost, console)
      }
      return try writeCheckpoints(console)
    }
    try console.json("graph") { json in
      json.member("path", set.path)
      guard set.components.count > 1 else { return write(chosen[0].model, chosen[0].cost, &json) }
      json.member("model", set.modelType)
      json.member("kind", set.kind.rawValue)
      json.array("components") { json in
        for (model, cost) in chosen {
          json.object { json in
            json.member("name", model.name)
            write(model, cost, &json)
          }
        }
      }
      json.array("checkpoints") { json in
        for (name, sum) in checkpoints {
          json.object { json in
            json.member("name", name)
            json.member("tensors", sum.tensorCount)
            json.member("parameters", sum.elementCount)
            json.member("bytes", sum.byteCount)
          }
        }
      }
    }
  }

  /// What the graphs were built from, each whole, whichever graph reads a tensor; the parts of a bundle.
  private var checkpoints: [(name: String, sum: Inspection.Sum)] {
    let all =
      set.origin == .bundle
      ? chosen.map { ($0.model.name, $0.model.weights) }
      : set.checkpoints.map { (String($0.prefix.dropLast()), $0.weights) }
    return all.filter { name, _ in
      name.isEmpty || chosen.contains { $0.model.name == name || $0.model.name.hasPrefix(name + "/") }
    }.map { ($0.0.isEmpty ? set.modelType : $0.0, Inspection.Sum($0.1.entries)) }
  }

  /// A table of the checkpoints, where there are several graphs.
  private func writeCheckpoints(_ console: Console) throws {
    guard chosen.count > 1 else { return }
    try console.out.line()
    var table = Table([("checkpoint", .left), ("tensors", .right), ("parameters", .right), ("bytes", .right)])
    var all = Inspection.Sum()
    func add(_ name: String, _ sum: Inspection.Sum) {
      table.row(name, grouped(sum.tensorCount), grouped(sum.elementCount), ByteSize(sum.byteCount).text)
    }
    for (name, sum) in checkpoints {
      add(escaped(name, limit: 80), sum)
      all.add(sum)
    }
    if checkpoints.count > 1 { add("all", all) }
    try table.write(to: console.out)
  }

  private func write(_ model: LoadedModel, _ cost: GraphCost, _ console: Console) throws {
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
    let used = Inspection.Sum(model.usedWeights)
    try console.out.line(
      "\(escaped(graph.name, limit: 60)) for \(model.kind.rawValue): \(counted(graph.nodeCount, "node")), "
        + "\(counted(used.tensorCount, "tensor")), \(counted(used.elementCount, "parameter")), "
        + ByteSize(used.byteCount).text)
  }

  private func write(_ model: LoadedModel, _ cost: GraphCost, _ json: inout JSONWriter) {
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
