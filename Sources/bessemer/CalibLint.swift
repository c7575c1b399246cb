import ArgumentParser
import Converter
import Tensors

/// Says whether data is fit to calibrate with.
struct CalibLint: Command {
  static let configuration = configure(
    "lint", "Check calibration data: random, constant, repeated, too little.",
    discussion: """
      Exit code 1 when the data is not fit. With a model, texts go through its tokenizer, and the inputs of its layers \
      are compared over half of the data and all of it.
      """)

  @Argument(help: "Text, .jsonl or .json, as `quantize --calibration` takes it.")
  var file: String

  @Option(help: ArgumentHelp("The model's folder.", valueName: "folder"))
  var model: String?

  @Option(help: ArgumentHelp("The most sequences to look at.", valueName: "n"))
  var samples = 128

  @Option(help: ArgumentHelp("The most tokens of a sequence.", valueName: "n"))
  var maxLength = 2048

  @OptionGroup var common: CommonOptions

  func execute(_ console: Console) throws {
    let lint = try CalibrationLint(
      file, model: model, limit: samples, length: maxLength, threads: common.resources.threads)
    if console.isJSON { try writeJSON(lint, console) } else { try writeText(lint, console) }
    guard lint.problems.isEmpty else {
      try console.out.flush()
      throw ExitCode(ErrorCode.comparison.exitStatus.rawValue)
    }
  }

  private func writeText(_ lint: CalibrationLint, _ console: Console) throws {
    for problem in lint.problems { try console.out.line("\(problem.code): \(problem.message)") }
    if let growth = lint.growth {
      for layer in growth.growing.prefix(console.isVerbose ? .max : 5) {
        try console.out.line(
          "\(escaped(layer.module, limit: 240)): largest input \(layer.half) in half of the data, \(layer.all) in all")
      }
      try console.out.line(
        "\(counted(growth.layers.count, "layer")), the inputs of \(growth.growing.count) grow by more than a tenth")
    }
    try console.out.line(
      "\(escaped(file, limit: 240)): \(counted(lint.sequenceCount, "sequence")), \(counted(lint.tokenCount, "token")), "
        + "\(lint.distinctCount) different; \(counted(lint.problems.count, "problem"))")
  }

  private func writeJSON(_ lint: CalibrationLint, _ console: Console) throws {
    try console.json("calib-lint") { json in
      json.member("path", file)
      json.member("sequences", lint.sequenceCount)
      json.member("tokens", lint.tokenCount)
      json.member("distinct", lint.distinctCount)
      json.member("concentration", lint.concentration)
      json.array("problems") { json in
        for problem in lint.problems {
          json.object { json in
            json.member("code", problem.code)
            json.member("message", problem.message)
          }
        }
      }
      if let growth = lint.growth {
        json.member("layers", growth.layers.count)
        json.array("growing") { json in
          for layer in growth.growing {
            json.object { json in
              json.member("module", layer.module)
              json.member("half", Double(layer.half))
              json.member("all", Double(layer.all))
            }
          }
        }
      }
      json.member("ok", lint.problems.isEmpty)
    }
  }
}
