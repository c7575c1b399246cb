import ArgumentParser
import Converter
import Tensors

/// Quantizes the weights of a model by one scheme, or by a recipe.
struct QuantizePackage: Command {
  static let configuration = configure(
    "package", "Quantize all linear layers by one scheme, or by a recipe; `package` may be left out.",
    discussion: """
      Every projection of attention and feed-forward gets the scheme; routers, heads, embeddings and norms keep their \
      values. The package is what vLLM-Ascend loads, and its bytes are those that msModelSlim would write.
      """)

  @Argument(help: "The model's folder.")
  var model: String

  @Argument(help: "Where the package goes.")
  var output: String

  @Argument(help: "The scheme, such as w8a8-dynamic, w4a8-dynamic or mxfp4; q8_0 or q4_k for a GGUF file.")
  var scheme: String?

  @Option(help: ArgumentHelp("A recipe of msModelSlim instead of a scheme.", valueName: "file"))
  var recipe: String?

  @Option(
    name: .customLong("scheme"),
    help: ArgumentHelp("Another scheme for layers whose names match; may be repeated.", valueName: "pattern=scheme"))
  var overrides: [String] = []

  @Option(help: ArgumentHelp("Layers that keep their values; may be repeated.", valueName: "pattern"))
  var keep: [String] = []

  @OptionGroup var settings: QuantizationOptionGroup
  @OptionGroup var statistics: StatisticsOptionGroup
  @OptionGroup var dry: DryRunOption
  @OptionGroup var common: CommonOptions

  func execute(_ console: Console) throws {
    var options = try settings.options(common)
    options.scheme = scheme
    options.overrides = try overrides.map { try QuantizationOptionGroup.override($0) }
    options.keep = try keep.map { try NamePattern($0) }
    guard (scheme == nil) != (recipe == nil) else {
      throw BessemerError(.usage, "give a scheme, such as w8a8-dynamic, or a recipe with --recipe")
    }
    options.recipe = recipe
    statistics.set(&options)
    if let scheme, let type = BlockQuantization.type(scheme) {
      guard options.statistics == nil, options.savesStatistics == nil else {
        throw BessemerError(.usage, "\(scheme) looks at no data; leave out --statistics and --save-statistics")
      }
      return try ConvertListing.write(
        BlockQuantization.conversion(model, to: output, type, options), isDryRun: dry.dryRun, "quantize", console)
    }
    try QuantizeListing(Quantizer(model, to: output, options: options), isDryRun: dry.dryRun).write(console)
  }
}
