import ArgumentParser
import Checkpoints
import Glibc
import Tensors

/// What commands that read checkpoints take for readers. Keys never stand on the command line, where all can see them.
struct ReadOptionGroup: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "The file of the key of an encrypted MindSpore checkpoint: 16, 24 or 32 bytes, or hex: and digits; without it "
        + "BESSEMER_KEY.", valueName: "file"))
  var keyFile: String?

  @Option(
    help: ArgumentHelp(
      "The strategy file that a folder of rank_N was written with, or a folder of one for each stage.",
      valueName: "file"))
  var strategy: String?

  /// `isKeyOptional` says that a key has another use if the checkpoint is not encrypted.
  func options(isKeyOptional: Bool = false) throws -> ReadOptions {
    var options = ReadOptions()
    options.key = try CipherKey(file: keyFile, variable: "BESSEMER_KEY")
    options.strategy = strategy
    options.isKeyOptional = isKeyOptional || keyFile == nil
    return options
  }
}

extension CipherKey {
  /// The key in a file, or without one in an environment variable; nil when that is not set either.
  init?(file: String?, variable: String) throws {
    if let file {
      try self.init(file: file)
    } else if let value = getenv(variable) {
      do { try self.init(text: Array(String(cString: value).utf8)) } catch let error as BessemerError {
        throw BessemerError(error.code, "\(variable): \(error.message)")
      }
    } else {
      return nil
    }
  }
}
