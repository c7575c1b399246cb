import Converter

/// ``Sensitivity`` as one HTML file: a chart for each scheme of what layers cost that go together, and the table.
struct SensitivityPage {
  let result: Sensitivity
  let model: String
  let data: String

  func write(to path: String, overwrite: Bool) throws {
    let charts = result.schemes.flatMap { scheme in
      let units = result.units.filter { $0.scheme == scheme }
      return [
        BarChart(
          title: "KL divergence with these layers in \(scheme) alone",
          bars: units.map { ($0.name, $0.divergence) }
        ).html,
        BarChart(
          title: "KL divergence with one decoder layer in \(scheme)",
          bars: result.layers.filter { $0.scheme == scheme }.map { ($0.name, $0.divergence) }
        ).html,
        BarChart(
          title: "Relative squared error of what linear layers give in \(scheme)",
          bars: units.flatMap { unit in unit.linears.map { ($0.name, $0.outputError ?? 0) } }
        ).html,
      ]
    }
    let rows = result.units.flatMap { unit in
      unit.linears.map { linear in
        [
          linear.name, unit.scheme, significant(linear.weightError),
          linear.outputError.map { significant($0) } ?? "", significant(unit.divergence),
        ]
      }
    }
    let body = """
      <p>Measured on \(HTMLPage.plain(data)): \(counted(result.positions, "position")) of \
      \(counted(result.sequences, "sequence")). Errors are squares of what is lost by squares of what there was; the \
      divergence is that of all layers that go together.</p>
      \(charts.joined(separator: "\n"))
      <h2>All layers</h2>
      \(HTMLPage.table([["layer", "scheme", "weight", "output", "KL"]] + rows))
      """
    try HTMLPage(title: model, body: body).write(to: path, overwrite: overwrite)
  }
}
