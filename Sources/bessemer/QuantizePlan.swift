import ArgumentParser
import Converter
import Digests
import Tensors

/// Chooses a scheme for each linear layer.
struct QuantizePlan: Command {
  static let configuration = configure(
    "plan", "Choose a scheme for each linear layer, so that a size or a divergence is kept.",
    discussion: """
      Headers and some rows of each matrix are read. Layers that programs join have one scheme: queries, keys and \
      values, gate and up, all experts of a layer. The choice goes by what was measured, with --sensitivity, \
      --text or --calibration; without, by the errors expected from the rows. Carry the plan out with `bessemer \
      quantize apply`.
      """)

  @Argument(help: "The model's folder.")
  var model: String

  @Option(name: [.short, .long], help: ArgumentHelp("Write the plan to this file.", valueName: "file"))
  var output: String?

  @Option(help: ArgumentHelp("The most that the files of weights take, such as 4.2GiB.", valueName: "size"))
  var targetSize: ByteSize?

  @Option(help: ArgumentHelp("The most bits per weight, of all tensors.", valueName: "x"))
  var targetBpw: Double?

  @Option(help: ArgumentHelp("The largest KL divergence, in nats, in as few bytes as can be.", valueName: "x"))
  var maxKl: Double?

  @Option(
    help: ArgumentHelp(
      "Schemes to choose among, with commas between; \(QuantizationPlanner.usualCandidates.joined(separator: ",")) "
        + "or those that were measured.", valueName: "names"))
  var candidates: String?

  @Option(
    name: .customLong("scheme"),
    help: ArgumentHelp("The scheme of layers whose names match; may be repeated.", valueName: "pattern=scheme"))
  var overrides: [String] = []

  @Option(help: ArgumentHelp("Layers that keep their values; may be repeated.", valueName: "pattern"))
  var keep: [String] = []

  @Option(help: ArgumentHelp("Rows of each matrix to look at.", valueName: "n"))
  var rows = 16

  @Option(
    help: ArgumentHelp("What `bessemer quantize sensitivity --json` wrote of the model.", valueName: "file"))
  var sensitivity: String?

  @OptionGroup var measuring: MeasureOptionGroup
  @OptionGroup var saved: SavedStatisticsOption
  @OptionGroup var settings: QuantizationOptionGroup
  @OptionGroup var common: CommonOptions

  func validate() throws {
    if [targetSize != nil, targetBpw != nil, maxKl != nil].filter({ $0 }).count > 1 {
      throw ValidationError("--target-size, --target-bpw and --max-kl exclude each other")
    }
    if sensitivity != nil, measuring.text != nil {
      throw ValidationError("--sensitivity and --text exclude each other")
    }
    if measuring.soc != nil, !measures { throw ValidationError("--soc goes with --text or --calibration") }
    if !(2...1 << 20).contains(rows) { throw ValidationError("--rows takes a number from 2 to \(1 << 20)") }
    for (name, value) in [("--target-bpw", targetBpw), ("--max-kl", maxKl)] {
      if let value, !value.isFinite || value < 0 {
        throw ValidationError("\(name) takes a number that is not negative")
      }
    }
  }

  /// Whether sensitivity is measured now: there is data, and something to choose.
  private var measures: Bool {
    sensitivity == nil && (measuring.text != nil || settings.calibration != nil && target != nil)
  }

  private var target: QuantizationPlanner.Target? {
    targetSize.map { .size($0.byteCount) } ?? targetBpw.map { .bitsPerWeight($0) } ?? maxKl.map { .divergence($0) }
  }

  func execute(_ console: Console) throws {
    var options = try settings.options(common)
    options.statistics = saved.statistics
    options.overrides = try overrides.map { try QuantizationOptionGroup.override($0) }
    options.keep = try keep.map { try NamePattern($0) }
    let words = candidates?.split(separator: ",").map { $0.filter { $0 != " " } } ?? []
    if words.contains(where: { BlockQuantization.type($0) != nil }) {
      return try show(planGGUF(options, words), console)
    }
    var measured = try sensitivity.map { try Sensitivity(path: $0) }
    if measures {
      let schemes = words.isEmpty ? QuantizationPlanner.usualCandidates : words
      measured = try measuring.measure(model, schemes, options, common, console)
    }
    let planner = try QuantizationPlanner(
      model, options, target: target, candidates: words, rows: rows, sensitivity: measured)
    try show(planner, console)
  }

  /// A plan of encodings.
  private func planGGUF(_ options: QuantizationOptions, _ words: [String]) throws -> QuantizationPlanner {
    guard sensitivity == nil, measuring.text == nil, measuring.soc == nil, maxKl == nil else {
      throw BessemerError(
        .usage,
        "what encodings of GGUF files cost is expected from rows, not measured; leave out --sensitivity, --text, --soc "
          + "and --max-kl")
    }
    return try QuantizationPlanner(gguf: model, options, target: target, candidates: words, rows: rows)
  }

  private func show(_ planner: QuantizationPlanner, _ console: Console) throws {
    for note in planner.notes { console.note("note: \(note)") }
    if let output { try planner.plan.write(to: output, overwrite: common.overwrite) }
    if console.isJSON { return try writeJSON(planner.plan, console) }
    guard output != nil else { return try console.out.write(planner.plan.text) }
    try writeText(planner.plan, console)
  }

  private func writeText(_ plan: QuantizationPlan, _ console: Console) throws {
    let isMeasured = plan.divergence != nil
    var table = Table(
      [("layers", .left), ("scheme", .left), ("size", .right), ("error", .right)]
        + (isMeasured ? [("KL", .right)] : []))
    for unit in plan.units {
      table.add(name: unit.layers.count == 1 ? unit.layers[0] : "\(unit.layers[0]) and \(unit.layers.count - 1) more")
      table.add(unit.scheme)
      table.add(ByteSize(unit.byteCount ?? 0).text)
      table.add(unit.error.map { significant($0, 3) } ?? "")
      if isMeasured { table.add(unit.divergence.map { significant($0, 3) } ?? "") }
    }
    try table.write(to: console.out)
    var total =
      "\(ByteSize(plan.byteCount ?? 0).text) of tensors, "
      + "\(decimal(plan.bitsPerWeight ?? 0, digits: 3)) bits per weight"
    if let divergence = plan.divergence { total += ", KL about \(significant(divergence, 3))" }
    try console.out.line("plan: \(total); wrote \(escaped(output ?? "", limit: 240))")
  }

  private func writeJSON(_ plan: QuantizationPlan, _ console: Console) throws {
    try console.json("quantize-plan") { json in
      json.member("model", model)
      json.member("source", plan.source.description)
      if let bytes = plan.byteCount { json.member("bytes", bytes) }
      if let bits = plan.bitsPerWeight { json.member("bits_per_weight", bits) }
      if let divergence = plan.divergence { json.member("kl", divergence) }
      json.array("units") { json in
        for unit in plan.units {
          json.object { json in
            json.member("scheme", unit.scheme)
            if let bytes = unit.byteCount { json.member("bytes", bytes) }
            if let error = unit.error { json.member("error", error) }
            if let divergence = unit.divergence { json.member("kl", divergence) }
            json.array("layers", unit.layers)
          }
        }
      }
    }
  }
}
