import Converter
import Passes
import Tensors

/// What passes did: operators before and after, what was fused, and what was not and why.
struct PassListing {
  private let report: PassReport
  private let before: OperatorCounts
  private let after: OperatorCounts

  init(_ report: PassReport, before: OperatorCounts, after: OperatorCounts) {
    self.report = report
    self.before = before
    self.after = after
  }

  func writeText(_ console: Console) throws {
    var table = Table([("operator", .left), ("before", .right), ("after", .right), ("change", .right)])
    for (name, old, new) in OperatorCounts.compare(before, after) {
      table.row(name, "\(old)", "\(new)", change(old, new))
    }
    table.row("all", "\(before.total)", "\(after.total)", change(before.total, after.total))
    try table.write(to: console.out)
    let made = report.made.map { "\($0.count) \($0.result)" }
    try console.out.line(made.isEmpty ? "fused nothing" : "made \(made.joined(separator: ", "))")
    for (result, reason, count) in report.declined {
      try console.out.line("not made: \(count) \(result), because \(escaped(reason, limit: 300))")
    }
  }

  func writeJSON(_ json: inout JSONWriter) {
    json.object("operators") { json in
      for (name, old, new) in OperatorCounts.compare(before, after) {
        json.object(name) { json in
          json.member("before", old)
          json.member("after", new)
        }
      }
    }
    json.array("passes") { json in
      for step in report.steps {
        json.object { json in
          json.member("pass", step.pass)
          json.member("changed", step.changed)
          json.member("nodes", step.nodeCount)
          json.member("seconds", step.seconds)
        }
      }
    }
    json.object("made") { json in for (result, count) in report.made { json.member(result, count) } }
    json.array("declined") { json in
      for (result, reason, count) in report.declined {
        json.object { json in
          json.member("operator", result)
          json.member("reason", reason)
          json.member("count", count)
        }
      }
    }
  }

  private func change(_ old: Int, _ new: Int) -> String {
    old == new ? "" : new > old ? "+\(new - old)" : "\(new - old)"
  }
}
