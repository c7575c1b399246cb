import ArgumentParser
import Converter
import IR
import Tensors

/// Measures what it costs to quantize each layer.
struct QuantizeSensitivity: Command {
  static let configuration = configure(
    "sensitivity", "Measure what it costs to quantize each layer alone.",
    discussion: """
      For each linear layer the error of its weight and of what it gives, relative and squared; for layers that have \
      one scheme together, and for each decoder layer, the KL divergence of the model when nothing else is quantized, \
      by the arithmetic of the chip. `bessemer quantize plan` takes what --json writes.
      """)

  @Argument(help: "The model's folder.")
  var model: String

  @Argument(help: "Schemes to measure, such as w8a8-dynamic w4a8-dynamic.")
  var schemes: [String]

  @Option(help: ArgumentHelp("Write the table and a chart to a web page.", valueName: "file"))
  var html: String?

  @OptionGroup var measuring: MeasureOptionGroup
  @OptionGroup var saved: SavedStatisticsOption
  @OptionGroup var settings: QuantizationOptionGroup
  @OptionGroup var common: CommonOptions

  func execute(_ console: Console) throws {
    var options = try settings.options(common)
    options.statistics = saved.statistics
    let result = try measuring.measure(model, schemes, options, common, console)
    if let html {
      try SensitivityPage(result: result, model: model, data: measuring.text ?? settings.calibration ?? "")
        .write(to: html, overwrite: common.overwrite)
    }
    if console.isJSON {
      return try console.json(Sensitivity.schema) { json in
        json.member("model", model)
        result.write(&json)
      }
    }
    let title = [("scheme", Table.Alignment.left), ("KL", .right)]
    var units = Table([("layer", .left)] + [title[0]] + [("weight", .right), ("output", .right)] + [title[1]])
    for unit in result.units {
      for (k, linear) in unit.linears.enumerated() {
        units.add(name: linear.name)
        units.add(unit.scheme)
        units.add(significant(linear.weightError, 3))
        units.add(linear.outputError.map { significant($0, 3) } ?? "")
        units.add(k == 0 ? significant(unit.divergence, 3) : "″")
      }
    }
    try units.write(to: console.out)
    try console.out.line()
    var layers = Table([("all of", .left)] + title)
    for layer in result.layers { layers.row(escaped(layer.name), layer.scheme, significant(layer.divergence, 3)) }
    for (scheme, whole) in zip(result.schemes, result.wholes) { layers.row("the model", scheme, significant(whole, 3)) }
    try layers.write(to: console.out)
    try console.out.line(
      "\(counted(result.positions, "position")) of \(counted(result.sequences, "sequence")); errors are squares of "
        + "what is lost by squares of what there was; memory peak \(ByteSize(Machine.peakByteCount).text)")
  }
}

extension MeasureOptionGroup {
  /// Measures with progress shown.
  func measure(
    _ model: String, _ schemes: [String], _ options: QuantizationOptions, _ common: CommonOptions, _ console: Console
  ) throws -> Sensitivity {
    let memory = common.maxMemory?.byteCount ?? Machine.memoryByteCount
    let meter = try SensitivityMeter(
      model, schemes: schemes, options, text: text, arithmetic: QuantizedArithmetic(option: soc ?? "a2"),
      memoryLimit: memory / 4)
    for note in meter.notes { console.note("note: \(note)") }
    let progress = console.progress("measure", unit: .items)
    defer { progress.finish() }
    return try meter.measure { progress.update($0, of: $1) }
  }
}
