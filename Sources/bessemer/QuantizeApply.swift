import ArgumentParser
import Converter
import Tensors

/// Quantizes a model as a plan says.
struct QuantizeApply: Command {
  static let configuration = configure(
    "apply", "Quantize a model as a plan says.",
    discussion: """
      Each linear layer gets the scheme that the plan names; a layer that the plan does not name, or that its scheme \
      cannot store, is an error. The bytes depend on the model and the plan alone.
      """)

  @Argument(help: "The model's folder.")
  var model: String

  @Argument(help: "Where the package goes.")
  var output: String

  @Option(help: ArgumentHelp("The plan, as `bessemer quantize plan` writes it.", valueName: "file"))
  var plan: String

  @Option(
    help: ArgumentHelp("Where the plan's calibration data is, if not where it was.", valueName: "file"))
  var calibration: String?

  @OptionGroup var statistics: StatisticsOptionGroup
  @OptionGroup var dry: DryRunOption
  @OptionGroup var common: CommonOptions

  func execute(_ console: Console) throws {
    let plan = try QuantizationPlan(path: plan)
    var options = plan.options
    if let calibration { options.calibration = calibration }
    statistics.set(&options)
    options.threads = common.resources.threads
    options.overwrite = common.overwrite
    if BlockQuantization.makes(plan) {
      guard calibration == nil, options.statistics == nil, options.savesStatistics == nil else {
        throw BessemerError(.usage, "encodings of GGUF files look at no data; leave it and statistics out")
      }
      return try ConvertListing.write(
        BlockQuantization.conversion(model, to: output, plan, options), isDryRun: dry.dryRun, "quantize", console)
    }
    try QuantizeListing(Quantizer(model, to: output, options: options, plan: plan), isDryRun: dry.dryRun).write(console)
  }
}
