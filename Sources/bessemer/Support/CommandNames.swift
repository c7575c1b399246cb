import ArgumentParser
import Tensors

/// The names of commands, for putting them in front and for guessing what was meant.
enum CommandNames {
  private static let optionsWithValue: Set<String> = ["--threads", "-j", "--max-memory", "--progress", "--color"]

  /// The arguments with common options that stand before the command's name moved behind it.
  static func withCommandFirst(_ arguments: [String]) -> [String] {
    var index = 0
    while index < arguments.count, arguments[index].hasPrefix("-") {
      guard !["--help", "-h", "--version", "--"].contains(arguments[index]) else { break }
      index += optionsWithValue.contains(arguments[index]) ? 2 : 1
    }
    guard index > 0, index < arguments.count else { return arguments }
    return [arguments[index]] + arguments[..<index] + arguments[(index + 1)...]
  }

  /// Throws ``ErrorCode/usage`` for a word that is no command, with the one that was probably meant.
  static func check(_ arguments: [String]) throws {
    var names = ["help"]
    var place: any ParsableCommand.Type = Bessemer.self
    for word in arguments.prefix(2) {
      let subcommands = place.configuration.subcommands
      guard !subcommands.isEmpty, !word.hasPrefix("-"), !(word == "help") else { return }
      names = subcommands.flatMap { [name($0)] + $0.configuration.aliases }
      if let next = subcommands.first(where: { name($0) == word || $0.configuration.aliases.contains(word) }) {
        place = next
        continue
      }
      // Any other word is an argument of the command that goes without a name.
      guard place.configuration.defaultSubcommand == nil else { return }
      let path = place == Bessemer.self ? "" : "\(name(place)) "
      let guess = nearest(to: word, among: names).map { "; did you mean `bessemer \(path)\($0)`?" }
      throw BessemerError(
        .usage, "no command \(quoted(path + word))" + (guess ?? "; `bessemer \(path)--help` lists them"))
    }
  }

  static func name(_ command: any ParsableCommand.Type) -> String { command.configuration.commandName ?? "" }
}
