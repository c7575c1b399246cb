import ArgumentParser
import Converter
import Passes
import Tensors

/// The options that say what a graph is built for.
struct BuildOptionGroup: ParsableArguments {
  @Option(
    name: [.customLong("target"), .customLong("soc-version"), .customLong("soc"), .customLong("soc_version")],
    help: ArgumentHelp("The chip whose operators are used, such as Ascend910B3.", valueName: "chip"))
  var target: String?

  @Option(help: ArgumentHelp("The type to compute in: float32, float16 or bfloat16.", valueName: "type"))
  var dtype: String?

  /// The target by its name; throws ``ErrorCode/unsupportedTarget`` with the nearest name.
  var chosenTarget: Target? {
    get throws {
      guard let target else { return nil }
      if let known = Target(named: target) { return known }
      let names = Target.all.map(\.name)
      let guess = nearest(to: target, among: names).map { "did you mean \($0)? " } ?? ""
      throw BessemerError(
        .unsupportedTarget, "no target \(quoted(target)); \(guess)known: \(names.joined(separator: ", "))")
    }
  }

  /// The type of activations.
  var activation: DType {
    get throws {
      guard let dtype else { return .float32 }
      let known: [DType] = [.float32, .float16, .bfloat16]
      guard let type = DType(spelling: dtype) else {
        throw BessemerError(
          .usage, "--dtype \(quoted(dtype)) is no element type; expected float32, float16 or bfloat16")
      }
      guard known.contains(type) else {
        throw BessemerError(
          .unsupportedType, "models cannot be computed in \(type.longName); expected float32, float16 or bfloat16")
      }
      return type
    }
  }
}

/// The options that say which passes run.
struct PassOptionGroup: ParsableArguments {
  @Flag(help: "Leave the elementary operators as they are.")
  var noFuse = false

  @Option(
    help: ArgumentHelp("Write the graph before the first pass and after each to this folder.", valueName: "folder"))
  var dumpPasses: String?

  @Option(help: ArgumentHelp("Stop after the pass of this name.", valueName: "pass"))
  var stopAfter: String?

  func options(target: Target?, overwrite: Bool) -> PassOptions {
    PassOptions(
      fuse: !noFuse, target: target, stopAfter: stopAfter, dumpFolder: dumpPasses, overwrite: overwrite)
  }
}
