import Converter
import Passes
import Tensors

/// What `export` says of its work.
struct ExportListing {
  let exporter: Exporter
  let summary: Exporter.Summary
  let isDryRun: Bool

  func writeText(_ console: Console) throws {
    if let report = exporter.model.report {
      try PassListing(report, before: exporter.model.sourceOperators, after: exporter.operators).writeText(console)
      try console.out.line()
    }
    if console.isVerbose { try writeWeights(console) }
    let changed = summary.losses.reduce(0) { $0 + $1.changed }
    if changed > 0 {
      try console.out.line(
        "rounded \(grouped(changed)) values of \(counted(Set(summary.losses.map(\.tensor)).count, "tensor")); "
          + "the manifest counts them")
    }
    let overflowed = summary.losses.reduce(0) { $0 + $1.overflowed }
    if overflowed > 0 { try console.out.line("warning: \(counted(overflowed, "value")) became infinite") }
    let target = exporter.options.passes.target?.name ?? "the bundled runtime"
    try console.out.line(
      "\(isDryRun ? "would write" : "wrote") \(escaped(exporter.output, limit: 240)): "
        + "\(escaped(exporter.model.modelType, limit: 40)) for \(target), \(counted(summary.weights.count, "tensor")), "
        + "\(counted(exporter.operators.total, "node"))")
    let source = ByteSize(exporter.sourceByteCount).text
    try console.out.line(
      "\(source) of weights in, \(ByteSize(summary.byteCount).text) \(isDryRun ? "of weights" : "") out".squeezed
        + "; memory peak \(ByteSize(Machine.peakByteCount).text)")
  }

  /// One aligned line per tensor, with what changed.
  private func writeWeights(_ console: Console) throws {
    var table = Table([("", .left), ("", .left), ("", .left), ("", .right)])
    for weight in summary.weights {
      table.add(name: weight.name)
      table.add(weight.type.description)
      table.add(weight.change)
      table.add(ByteSize(weight.byteCount).text)
    }
    try table.write(to: console.out)
    try console.out.line()
  }

  func writeJSON(_ console: Console) throws {
    try console.json("export") { json in
      json.member("input", exporter.model.path)
      json.member("output", exporter.output)
      json.member("dry_run", isDryRun)
      json.member("model", exporter.model.modelType)
      if let target = exporter.options.passes.target { json.member("target", target.name) } else { json.null("target") }
      json.member("dtype", exporter.options.activation.rawValue)
      if let report = exporter.model.report {
        PassListing(report, before: exporter.model.sourceOperators, after: exporter.operators).writeJSON(&json)
      }
      json.array("weights") { json in
        for weight in summary.weights {
          json.object { json in
            json.member("name", weight.name)
            json.member("type", weight.type.description)
            json.member("change", weight.change)
            json.member("bytes", weight.byteCount)
          }
        }
      }
      json.array("losses") { json in
        for loss in summary.losses {
          json.object { json in
            json.member("tensor", loss.tensor)
            json.member("from", loss.from.rawValue)
            json.member("to", loss.to.rawValue)
            json.member("examined", loss.examined)
            json.member("changed", loss.changed)
            json.member("overflowed", loss.overflowed)
          }
        }
      }
      json.member("weight_bytes_in", exporter.sourceByteCount)
      json.member("bytes_out", summary.byteCount)
      json.member("files", summary.fileCount)
      json.member("memory_peak_bytes", Machine.peakByteCount)
    }
  }
}

extension String {
  /// Without double spaces.
  fileprivate var squeezed: String { split(separator: " ", omittingEmptySubsequences: true).joined(separator: " ") }
}
