import ArgumentParser

/// A command of the command line: its arguments, and what it does with a console to talk through.
protocol Command: ParsableCommand {
  var common: CommonOptions { get }
  func execute(_ console: Console) throws
}

extension ParsableCommand {
  /// Help for a wrapped paragraph of text.
  static func configure(
    _ name: String, _ abstract: String, discussion: String = "", aliases: [String] = [],
    subcommands: [any ParsableCommand.Type] = [], defaultSubcommand: (any ParsableCommand.Type)? = nil
  ) -> CommandConfiguration {
    CommandConfiguration(
      commandName: name, abstract: abstract, discussion: discussion, subcommands: subcommands,
      defaultSubcommand: defaultSubcommand, aliases: aliases)
  }
}
