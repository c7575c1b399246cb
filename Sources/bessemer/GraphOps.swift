import ArgumentParser
import IR
import Tensors

/// Lists the operators of the graph.
struct GraphOps: Command {
  static let configuration = configure("ops", "List the operators, their operands and their names elsewhere.")

  @OptionGroup var common: CommonOptions

  func execute(_ console: Console) throws { try OperatorListing().write(console) }
}

/// The same under a shorter name.
struct Operators: Command {
  static let configuration = configure("ops", "List the operators, their operands and their names elsewhere.")

  @OptionGroup var common: CommonOptions

  func execute(_ console: Console) throws { try OperatorListing().write(console) }
}

/// The operators of this package.
struct OperatorListing {
  private let schemas = OpRegistry.standard.ops.map { $0.schema }.sorted { $0.name < $1.name }

  func write(_ console: Console) throws {
    if console.isJSON { return try console.json("ops") { writeJSON(&$0) } }
    var table = Table([("operator", .left), ("operands", .left), ("elsewhere", .left)])
    for schema in schemas {
      let names = schema.foreignNames.map { name in
        let (system, foreign) = parts(name)
        return "\(system) \(foreign)"
      }
      table.row(schema.name, operands(schema), names.joined(separator: ", "))
    }
    try table.write(to: console.out)
    try console.out.line(counted(schemas.count, "operator"))
  }

  /// `x, weight, [bias]`, and `values…` for an operand that repeats.
  private func operands(_ schema: OpSchema) -> String {
    var parts = schema.operands
    parts += schema.optionalOperands.map { "[\($0)]" }
    if schema.isVariadic, let last = parts.popLast() { parts.append(last + "…") }
    return parts.joined(separator: ", ")
  }

  private func parts(_ name: OpSchema.ForeignName) -> (system: String, name: String) {
    switch name {
    case .onnx(let name, let since): ("onnx", "\(name) (since \(since))")
    case .mindIR(let name): ("mindir", name)
    case .ascend(let name): ("ascend", name)
    }
  }

  private func writeJSON(_ json: inout JSONWriter) {
    json.array("operators") { json in
      for schema in schemas {
        json.object { json in
          json.member("name", schema.name)
          json.array("operands", schema.operands)
          json.array("optional", schema.optionalOperands)
          json.member("variadic", schema.isVariadic)
          json.array("elsewhere") { json in
            for name in schema.foreignNames {
              let (system, foreign) = parts(name)
              json.object { json in
                json.member("system", system)
                json.member("name", foreign)
              }
            }
          }
        }
      }
    }
  }
}
