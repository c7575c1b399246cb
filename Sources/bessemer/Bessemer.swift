import ArgumentParser
import Glibc
import Tensors

/// The process: parses the arguments, runs one command, and turns whatever went wrong into one line and an exit code.
@main
struct Main {
  static func main() {
    keepStandardDescriptors()
    unblockSignals()
    Interrupt.installHandlers()
    exit(run(Array(CommandLine.arguments.dropFirst())))
  }

  private static func run(_ arguments: [String]) -> Int32 {
    let arguments = CommandNames.withCommandFirst(arguments)
    var console = Console(CommonOptions.fallback(json: arguments.contains("--json")))
    do {
      if arguments.first == "--version" || arguments.first == "version" {
        try printVersion(console)
      } else {
        try CommandNames.check(arguments)
        var command = try Bessemer.parseAsRoot(arguments)
        if let command = command as? any Command {
          console = Console(command.common)
          try command.execute(console)
        } else {
          // Help, or a group without a command, whose help is thrown.
          try command.run()
        }
      }
      try console.out.flush()
      return 0
    } catch {
      return finish(error, console)
    }
  }

  /// Says what went wrong, or shows the help that was asked for; returns the exit code.
  private static func finish(_ error: any Error, _ console: Console) -> Int32 {
    let failure: BessemerError
    switch error {
    case let error as BessemerError: failure = error
    case let code as ExitCode: return code.rawValue
    default:
      guard Bessemer.exitCode(for: error) != .success else {
        do {
          try console.out.line(Bessemer.fullMessage(for: error))
          try console.out.flush()
          return 0
        } catch {
          return finish(error, console)
        }
      }
      let message = Bessemer.message(for: error)
        .split(whereSeparator: \.isNewline).map { $0.drop { $0 == " " } }.joined(separator: " ")
      failure = BessemerError(.usage, message)
    }
    // Data that was complete before the error still goes out; an object has no place beside the error's.
    if !console.isJSON { try? console.out.flush() }
    console.report(failure)
    return failure.code.exitStatus.rawValue
  }

  private static func printVersion(_ console: Console) throws {
    guard console.isJSON else { return try console.out.line("bessemer \(version)") }
    try console.json("version") { $0.member("version", version) }
  }

  /// Opens what is closed of the three standard descriptors, so that no file takes their number. Output to one that was
  /// closed fails, as it should.
  private static func keepStandardDescriptors() {
    for descriptor: Int32 in 0...2 where fcntl(descriptor, F_GETFD) < 0 {
      _ = open("/dev/null", descriptor == STDERR_FILENO ? O_WRONLY : O_RDONLY)
    }
  }

  /// Lets the signals through that ask to stop: a parent that blocks them for itself hands that on without meaning it.
  private static func unblockSignals() {
    var set = sigset_t()
    sigemptyset(&set)
    for number in [SIGINT, SIGTERM, SIGHUP] { sigaddset(&set, number) }
    pthread_sigmask(SIG_UNBLOCK, &set, nil)
  }
}

/// The version of this program.
let version = "0.1.0"

/// The root of all commands.
struct Bessemer: ParsableCommand {
  static var configuration: CommandConfiguration {
    CommandConfiguration(
      commandName: "bessemer",
      abstract: "Gets trained models ready to run on Huawei Ascend: inspect, convert, fuse, export, run.",
      version: "bessemer \(version)",
      subcommands: commands)
  }

  /// All commands, by alphabet.
  static let commands: [any ParsableCommand.Type] = [
    CalibGroup.self,
    Check.self,
    Compare.self,
    Convert.self,
    Diff.self,
    Doctor.self,
    Embed.self,
    Eval.self,
    Explain.self,
    Export.self,
    Formats.self,
    Generate.self,
    GraphGroup.self,
    Image.self,
    Inspect.self,
    Operators.self,
    Pack.self,
    QuantizeGroup.self,
    Run.self,
    Unpack.self,
    Verify.self,
  ]
}

extension CommonOptions {
  /// The options before the arguments are parsed.
  static func fallback(json: Bool) -> CommonOptions {
    var options = (try? CommonOptions.parse([])) ?? CommonOptions()
    options.json = json
    return options
  }
}
