import ArgumentParser
import Converter
import Tensors

/// What is said of quantization beside the schemes of layers.
struct QuantizationOptionGroup: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "How scales and codes are found: minmax, percentile:SHARE, ssz, autoround, gptq, ceil-x, ceil-x-search, "
        + "four-over-six, mse-round.", valueName: "name"))
  var method = "minmax"

  @Option(
    help: ArgumentHelp(
      "Text, .jsonl or .json to run through the model, one sequence a line.", valueName: "file"))
  var calibration: String?

  @Option(help: ArgumentHelp("The most sequences of it.", valueName: "n"))
  var samples = 128

  @Option(help: ArgumentHelp("The most tokens of a sequence.", valueName: "n"))
  var maxLength = 2048

  @Option(
    help: ArgumentHelp(
      "Scale channels first: iterative, flexible, smoothquant, each perhaps :ALPHA, awq or awq-scales.",
      valueName: "name"))
  var smooth: String?

  @Option(
    help: ArgumentHelp(
      "Rotate first: all, the residual stream and the heads of attention, or heads.", valueName: "what"))
  var rotate: String?

  @Option(help: ArgumentHelp("Rotate so many channels together instead of all.", valueName: "n"))
  var rotationBlock: Int?

  @Option(help: ArgumentHelp("Quantize the cache of keys and values: c8 or c8-asymmetric.", valueName: "name"))
  var kvCache: String?

  @Flag(help: "Move the size of keys to the queries first.")
  var smoothKeys = false

  @Option(
    help: ArgumentHelp(
      "How w8a8 finds the range of inputs: minmax, mean, histogram or percentile:SHARE.", valueName: "name"))
  var inputRange = "minmax"

  @Flag(help: "Make the range of inputs symmetric.")
  var symmetricInputs = false

  @Option(
    help: ArgumentHelp(
      "msmodelslim does what that tool does wrong too, see docs/QUANTIZATION.md.", valueName: "name"))
  var compat: String?

  @Option(
    help: ArgumentHelp(
      "The kind of package: ascendv1, compressed-tensors, mindformers, mindie or vllm-ascend.", valueName: "name"))
  var format = "ascendv1"

  func options(_ common: CommonOptions) throws -> QuantizationOptions {
    var options = QuantizationOptions(scheme: nil)
    options.method = method
    options.calibration = calibration
    options.calibrationLimit = samples
    options.calibrationLength = maxLength
    options.smoothing = smooth
    options.rotates = rotate
    options.rotationBlock = rotationBlock
    options.cache = kvCache
    options.smoothsKeys = smoothKeys
    options.inputRange = inputRange
    options.isInputSymmetric = symmetricInputs
    guard compat == nil || compat == "msmodelslim" else {
      throw BessemerError(.usage, "--compat takes msmodelslim, not \(quoted(compat ?? ""))")
    }
    options.isCompatible = compat != nil
    options.format = format
    options.threads = common.resources.threads
    options.overwrite = common.overwrite
    return options
  }

  /// `PATTERN=SCHEME`
  static func override(_ text: String) throws -> (pattern: NamePattern, scheme: String) {
    guard let mark = text.lastIndex(of: "=") else {
      throw BessemerError(.usage, "--scheme \(quoted(text)): expected PATTERN=SCHEME")
    }
    return (try NamePattern(String(text[..<mark])), String(text[text.index(after: mark)...]))
  }
}

/// What sensitivity is measured on.
struct MeasureOptionGroup: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Text to measure on, one sequence a line; the calibration data if it is left out.", valueName: "file"))
  var text: String?

  @Option(
    help: ArgumentHelp(
      "Whose arithmetic it is: a2, a3, a5, 310p, or a chip's name; a2 if it is left out.", valueName: "chip"))
  var soc: String?
}

/// Files of what calibration found out.
struct StatisticsOptionGroup: ParsableArguments {
  @OptionGroup var saved: SavedStatisticsOption

  @Option(help: ArgumentHelp("Keep what is found out from the data, for --statistics.", valueName: "file"))
  var saveStatistics: String?

  func set(_ options: inout QuantizationOptions) {
    (options.statistics, options.savesStatistics) = (saved.statistics, saveStatistics)
  }
}

/// Statistics that an earlier run saved.
struct SavedStatisticsOption: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "What an earlier run found out from data, instead of data: the model does not run.", valueName: "file"))
  var statistics: String?
}
