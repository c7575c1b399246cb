import Converter
import Tensors
import Validation

/// What two models come to on the same data: a table for people, for a model card or a browser, and as JSON.
///
/// Where one of them is quantized and the other is not, the other is the source, which the first is held against.
struct EvalReport {
  /// A model with what was measured of it alone.
  struct Side {
    let title: String
    let path: String
    let size: ModelSize
  }

  /// Answers of both to questions.
  struct Answers {
    let source: Evaluation.ExactMatch
    let other: Evaluation.ExactMatch

    var count: Int { source.answers.count }
    var same: Int { zip(source.answers, other.answers).count { $0 == $1 } }
    func right(_ result: Evaluation.ExactMatch) -> Int { result.right.values.reduce(0, +) }
  }

  let source: Side
  let other: Side
  let data: String
  let agreement: Agreement
  let summary: Agreement.Summary
  let answers: Answers?

  init(source: Side, other: Side, data: String, agreement: Agreement, answers: Answers?) {
    (self.source, self.other, self.data, self.answers) = (source, other, data, answers)
    self.agreement = agreement
    summary = agreement.summary()
  }

  static let title = ["", "", "", "95 % interval"]

  /// What was measured, of the source, of the other, and an interval or a relation.
  var rows: [[String]] {
    func interval(_ estimate: Agreement.Estimate) -> String {
      estimate.interval.map { "\(significant($0.lowerBound, 6)) to \(significant($0.upperBound, 6))" } ?? ""
    }
    func percentile(_ percent: Double) -> String {
      percent == 100 ? "greatest" : "\(percent == percent.rounded() ? "\(Int(percent))" : "\(percent)")th percentile"
    }
    var rows = [
      ["size", ByteSize(source.size.byteCount).text, ByteSize(other.size.byteCount).text, ""],
      [
        "bits per weight", decimal(source.size.bitsPerWeight, digits: 2), decimal(other.size.bitsPerWeight, digits: 2),
        "",
      ],
      ["perplexity", significant(summary.first.value, 6), significant(summary.second.value, 6), ""],
      ["perplexity, ratio", "", significant(summary.ratio.value, 6), interval(summary.ratio)],
      ["top-1 agreement", "", significant(summary.topOne.value, 6), interval(summary.topOne)],
      ["KL divergence, mean", "", significant(summary.divergence.value, 6), interval(summary.divergence)],
    ]
    rows += summary.percentiles.map { ["KL divergence, \(percentile($0.percent))", "", significant($0.value), ""] }
    if let answers {
      func part(_ result: Evaluation.ExactMatch) -> String { "\(answers.right(result)) of \(answers.count)" }
      rows.append(["exact match", part(answers.source), part(answers.other), ""])
      rows.append(["same answers", "", "\(answers.same) of \(answers.count)", ""])
    }
    return rows + [["tokens", "\(agreement.positions)", "", ""]]
  }

  func writeText(_ console: Console) throws {
    let titles = ["", source.title, other.title, EvalReport.title[3]]
    var table = Table(zip(titles, [.left, .right, .right, .left]).map { ($0, $1) })
    for row in rows { table.row(row[0], row[1], row[2], row[3]) }
    try table.write(to: console.out)
    guard !agreement.layerErrors.isEmpty else { return }
    var layers = Table([("layer", .right), ("relative error", .right)])
    for (k, error) in agreement.layerErrors.enumerated() { layers.row("\(k)", significant(error)) }
    try layers.write(to: console.out)
  }

  /// The table as Markdown, for a model card.
  func writeMarkdown(_ console: Console) throws {
    try console.out.line("| | \(source.title) | \(other.title) | \(EvalReport.title[3]) |")
    try console.out.line("|---|---:|---:|---|")
    for row in rows { try console.out.line("| " + row.joined(separator: " | ") + " |") }
  }

  func writeJSON(_ console: Console, order: (first: String, second: String)) throws {
    try console.json("eval") { json in
      json.member("model", order.first)
      json.member("second", order.second)
      json.member("reference", source.path)
      json.member("data", data)
      json.member("tokens", agreement.positions)
      json.member("interval_method", "bootstrap over blocks of \(Agreement.blockLength) positions")
      json.member("interval_level", 0.95)
      for (name, side) in [("reference_size", source), ("size", other)] {
        json.object(name) { json in
          json.member("bytes", side.size.byteCount)
          json.member("parameters", side.size.parameterCount)
          json.member("bits_per_weight", side.size.bitsPerWeight)
        }
      }
      for (name, estimate) in [
        ("perplexity", summary.first), ("second_perplexity", summary.second), ("perplexity_ratio", summary.ratio),
        ("top1_agreement", summary.topOne), ("kl_divergence", summary.divergence),
      ] {
        json.object(name) { json in
          json.member("value", estimate.value)
          for (end, value) in [("low", estimate.interval?.lowerBound), ("high", estimate.interval?.upperBound)] {
            if let value { json.member(end, value) } else { json.null(end) }
          }
        }
      }
      json.array("kl_percentiles") { json in
        for (percent, value) in summary.percentiles {
          json.object { json in
            json.member("percent", percent)
            json.member("value", value)
          }
        }
      }
      if let answers {
        json.object("answers") { json in
          json.member("questions", answers.count)
          json.member("reference_right", answers.right(answers.source))
          json.member("right", answers.right(answers.other))
          json.member("same", answers.same)
        }
      }
      if !agreement.layerErrors.isEmpty {
        json.array("layer_errors") { json in for error in agreement.layerErrors { json.value(error) } }
      }
    }
  }
}
