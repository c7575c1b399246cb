import ArgumentParser
import Converter
import Tensors

/// Finds what a program that loads packages would stumble over.
struct Check: Command {
  static let configuration = configure(
    "check", "Check a package by the rules of the program that loads it.",
    discussion: """
      Reads headers and JSON files alone. Every problem is listed with a code, its place and what to do; exit code 6 \
      if there is one.
      """)

  @Argument(help: "A package's folder, or a GGUF file.")
  var path: String

  @Option(
    name: .customLong("for"),
    help: ArgumentHelp(
      "The program: \(PackageCheck.consumerNames.joined(separator: ", ")).", valueName: "program"))
  var consumer: String

  @Option(help: ArgumentHelp("The chip, such as Ascend910B3, Ascend310P3 or Ascend950.", valueName: "name"))
  var soc: String?

  @Option(name: .customLong("tp"), help: "Devices that share each layer.")
  var tensorParallel = 1

  @OptionGroup var common: CommonOptions

  func execute(_ console: Console) throws {
    let check = try PackageCheck(path, for: consumer, soc: soc, tensorParallel: tensorParallel)
    if console.isJSON {
      try console.json("check") { json in
        json.member("path", path)
        json.member("for", check.consumer)
        json.member("tensors", check.tensorCount)
        json.array("problems") { json in
          for problem in check.problems {
            json.object { json in
              json.member("code", problem.code)
              json.member("place", problem.place)
              json.member("message", problem.message)
              json.member("fix", problem.fix)
            }
          }
        }
        json.member("ok", check.problems.isEmpty)
      }
    } else {
      for problem in check.problems {
        try console.out.line(
          "\(problem.code): \(escaped(problem.place, limit: 240)): \(escaped(problem.message, limit: 400)); "
            + problem.fix)
      }
      try console.out.line(
        "\(escaped(path, limit: 240)): \(counted(check.tensorCount, "tensor")), "
          + "\(counted(check.problems.count, "problem")) for \(check.consumer)")
    }
    guard check.problems.isEmpty else {
      try console.out.flush()
      throw ExitCode(ErrorCode.comparison.exitStatus.rawValue)
    }
  }
}
