import Tensors

/// An HTML file that needs nothing else: a heading and what stands below it.
struct HTMLPage {
  let title: String
  let body: String

  func write(to path: String, overwrite: Bool) throws {
    let text = Array(
      """
      <!DOCTYPE html>
      <html lang="en"><head><meta charset="utf-8"><title>\(HTMLPage.plain(title))</title>
      <style>
      body { font: 15px sans-serif; margin: 2em; max-width: 60em }
      td, th { padding: .2em .8em; text-align: right; border-bottom: 1px solid #ddd }
      td:first-child { text-align: left }
      table { border-collapse: collapse; margin-bottom: 2em }
      </style></head><body>
      <h1>\(HTMLPage.plain(title))</h1>
      \(body)
      </body></html>

      """.utf8)
    try AtomicWriter.write(to: path, overwrite: overwrite) { file in
      try text.withUnsafeBytes { try file.write($0) }
    }
  }

  /// A table; cells of the first row are titles.
  static func table(_ rows: [[String]]) -> String {
    let lines = rows.enumerated().map { number, row in
      let tag = number == 0 ? "th" : "td"
      return "<tr>" + row.map { "<\(tag)>\(plain($0))</\(tag)>" }.joined() + "</tr>"
    }
    return "<table>\n\(lines.joined(separator: "\n"))\n</table>"
  }

  /// Text without what HTML takes for marks.
  static func plain(_ text: String) -> String {
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

/// Bars side by side, each with a name that shows when it is pointed at.
struct BarChart {
  let title: String
  let bars: [(name: String, value: Double)]

  /// A heading and the picture; nothing where there is nothing to show.
  var html: String {
    guard let most = bars.map(\.value).max(), most > 0, most.isFinite else { return "" }
    let (left, height, bottom) = (70.0, 240.0, 40.0)
    let step = max(8, min(40, 900 / Double(bars.count)))
    let width = left + step * Double(bars.count) + 10
    func number(_ value: Double) -> String { decimal(value, digits: 1) }
    let shapes = bars.enumerated().map { k, bar in
      let size = height * bar.value / most
      return "<rect x=\"\(number(left + step * Double(k) + 1))\" y=\"\(number(10 + height - size))\" "
        + "width=\"\(number(step - 2))\" height=\"\(number(size))\" fill=\"#36c\">"
        + "<title>\(HTMLPage.plain(bar.name)): \(significant(bar.value))</title></rect>"
    }
    let every = max(1, Int((24 / step).rounded(.up)))
    let names = bars.indices.filter { $0 % every == 0 }.map { k in
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
      <h2>\(HTMLPage.plain(title))</h2>
      <svg xmlns="http://www.w3.org/2000/svg" width="\(number(width))" height="\(number(height + bottom))" \
      font-size="12" font-family="sans-serif">
      \((lines + shapes + names).joined(separator: "\n"))
      </svg>
      """
  }
}
