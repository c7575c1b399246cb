import Converter
import Tensors
import Validation

/// ``EvalReport`` as one HTML file that needs nothing else: the table, and a chart of the error of each layer.
struct EvalPage {
  let report: EvalReport

  func write(to path: String, overwrite: Bool) throws {
    try AtomicWriter.write(to: path, overwrite: overwrite) { file in
      let text = Array(text.utf8)
      try text.withUnsafeBytes { try file.write($0) }
    }
  }

  private var text: String {
    let cells = report.rows.map { row in
      "<tr>" + row.map { "<td>\(EvalPage.plain($0))</td>" }.joined() + "</tr>"
    }
    return """
      <!DOCTYPE html>
      <html lang="en"><head><meta charset="utf-8"><title>\(EvalPage.plain(report.other.path))</title>
      <style>
      body { font: 15px sans-serif; margin: 2em; max-width: 60em }
      td, th { padding: .2em .8em; text-align: right; border-bottom: 1px solid #ddd }
      td:first-child { text-align: left }
      table { border-collapse: collapse; margin-bottom: 2em }
      </style></head><body>
      <h1>\(EvalPage.plain(report.other.path))</h1>
      <p>Held against \(EvalPage.plain(report.source.path)) on \(EvalPage.plain(report.data)).</p>
      <table>
      <tr><th></th><th>\(report.source.title)</th><th>\(report.other.title)</th><th>\(EvalReport.title[3])</th></tr>
      \(cells.joined(separator: "\n"))
      </table>
      \(chart)
      </body></html>

      """
  }

  /// Bars of the layers' errors.
  private var chart: String {
    let errors = report.agreement.layerErrors
    guard let most = errors.max(), most > 0, most.isFinite else { return "" }
    let (left, height, bottom) = (70.0, 240.0, 40.0)
    let step = max(8, min(40, 900 / Double(errors.count)))
    let width = left + step * Double(errors.count) + 10
    func number(_ value: Double) -> String { decimal(value, digits: 1) }
    let bars = errors.enumerated().map { k, error in
      let size = height * error / most
      return "<rect x=\"\(number(left + step * Double(k) + 1))\" y=\"\(number(10 + height - size))\" "
        + "width=\"\(number(step - 2))\" height=\"\(number(size))\" fill=\"#36c\">"
        + "<title>layer \(k): \(significant(error))</title></rect>"
    }
    let every = max(1, Int((24 / step).rounded(.up)))
    let names = errors.indices.filter { $0 % every == 0 }.map { k in
      "<text x=\"\(number(left + step * (Double(k) + 0.5)))\" y=\"\(number(height + 26))\" "
        + "text-anchor=\"middle\">\(k)</text>"
    }
    let lines = (0...4).map { k in
      let y = number(10 + height - height * Double(k) / 4)
      return "<line x1=\"\(number(left))\" x2=\"\(number(width - 10))\" y1=\"\(y)\" y2=\"\(y)\" stroke=\"#ccc\"/>"
        + "<text x=\"\(number(left - 6))\" y=\"\(y)\" dy=\"4\" text-anchor=\"end\">"
        + "\(significant(most * Double(k) / 4, 3))</text>"
    }
    return """
      <h2>Relative error of what each layer gives</h2>
      <svg xmlns="http://www.w3.org/2000/svg" width="\(number(width))" height="\(number(height + bottom))" \
      font-size="12" font-family="sans-serif">
      \((lines + bars + names).joined(separator: "\n"))
      </svg>
      """
  }

  /// Text without what HTML takes for marks.
  private static func plain(_ text: String) -> String {
    var result = ""
    for character in text.unicodeScalars {
      switch character {
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      case "&": result += "&amp;"
      case "\"": result += "&quot;"
      default: result.unicodeScalars.append(character.value < 0x20 ? " " : character)
      }
    }
    return result
  }
}
