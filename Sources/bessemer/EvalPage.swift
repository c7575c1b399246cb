import Converter
import Tensors
import Validation

/// ``EvalReport`` as one HTML file: the table, and a chart of the error of each layer.
struct EvalPage {
  let report: EvalReport

  func write(to path: String, overwrite: Bool) throws {
    let title = [["", report.source.title, report.other.title, EvalReport.title[3]]]
    let body = """
      <p>Held against \(HTMLPage.plain(report.source.path)) on \(HTMLPage.plain(report.data)).</p>
      \(HTMLPage.table(title + report.rows))
      \(chart)
      """
    try HTMLPage(title: report.other.path, body: body).write(to: path, overwrite: overwrite)
  }

  private var chart: String {
    let bars = report.agreement.layerErrors.enumerated().map { (name: "layer \($0.offset)", value: $0.element) }
    return BarChart(title: "Relative error of what each layer gives", bars: bars).html
  }
}
