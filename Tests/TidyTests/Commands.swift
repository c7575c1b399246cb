/// The commands of the command line, read from their sources.
struct Commands {
  /// A command by type, with the words that call it.
  let type: String
  let name: String
  /// Types of the commands below it.
  let subcommands: [String]

  /// Every type with a configuration, in the order of files.
  static let all: [Commands] = Repository.sources.filter { $0.target == "bessemer" }.flatMap { Commands.read($0) }

  static let types = all.map(\.type)

  /// `graph check` and the like: what stands after `bessemer`.
  static let names: [String] = {
    let below = Set(all.flatMap(\.subcommands))
    return all.filter { !below.contains($0.type) }.flatMap { command in
      command.subcommands.isEmpty
        ? [command.name]
        : command.subcommands.compactMap { type in all.first { $0.type == type }.map { "\(command.name) \($0.name)" } }
    }
  }()

  private static func read(_ file: SourceFile) -> [Commands] {
    var commands: [Commands] = []
    var type = ""
    for part in file.text.split(separator: "\nstruct ").dropFirst() {
      type = String(part.prefix { $0.isLetter || $0.isNumber })
      guard let call = part.firstRange(of: "static let configuration = configure(") else { continue }
      let words = part[call.upperBound...].split(separator: "\"", maxSplits: 2, omittingEmptySubsequences: false)
      guard words.count == 3 else { continue }
      var below: [String] = []
      if let list = part.firstRange(of: "subcommands: [") {
        below = RegistrationTests.names(
          in: SourceFile(path: file.path, text: String(part[list.lowerBound...])), after: "subcommands: [")
      }
      commands.append(Commands(type: type, name: String(words[1]), subcommands: below))
    }
    return commands
  }
}
