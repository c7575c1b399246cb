import Foundation
import Tensors

/// The built command, run as a process.
struct Tool {
  /// What a run came to.
  struct Outcome {
    let status: Int32
    let out: String
    let error: String

    /// The object that `--json` wrote.
    var json: JSON { get throws { try JSON.parse(out) } }
  }

  /// The binary beside the test bundle.
  static let path: String = {
    let tests =
      (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? CommandLine.arguments[0]
    return URL(fileURLWithPath: tests).deletingLastPathComponent().appendingPathComponent("bessemer").path
  }()

  /// Runs the command to its end.
  static func run(_ arguments: [String], environment: [String: String] = [:]) throws -> Outcome {
    try Running(arguments, environment: environment).finish()
  }

  static func run(_ arguments: String...) throws -> Outcome { try run(arguments) }

  /// Runs the command to its end, with no file larger than some blocks of the shell, which are 512 bytes and more.
  static func run(fileBlocks: Int, _ arguments: String...) throws -> Outcome {
    let shell = ["/bin/sh", "-c", "ulimit -f \(fileBlocks) && exec \"$0\" \"$@\"", Tool.path]
    return try Running(shell + arguments, executable: "/usr/bin/env").finish()
  }

  /// A command that has been started.
  final class Running {
    let process = Process()
    private let out: Scratch

    /// Output goes to files, so that neither side waits for the other.
    init(
      _ arguments: [String], executable: String = Tool.path, environment: [String: String] = [:],
      standardOutput: String? = nil
    ) throws {
      out = try Scratch()
      process.executableURL = URL(fileURLWithPath: executable)
      process.arguments = arguments
      process.environment = ["SWIFT_BACKTRACE": "enable=no", "PATH": "/usr/bin:/bin"].merging(environment) { $1 }
      process.standardInput = FileHandle.nullDevice
      for name in ["out", "error"] { _ = FileManager.default.createFile(atPath: out[name], contents: nil) }
      process.standardOutput = FileHandle(forWritingAtPath: standardOutput ?? out["out"])
      process.standardError = FileHandle(forWritingAtPath: out["error"])
      try process.run()
    }

    func finish() -> Outcome {
      process.waitUntilExit()
      let status = process.terminationReason == .exit ? process.terminationStatus : 256 + process.terminationStatus
      return Outcome(status: status, out: text("out"), error: text("error"))
    }

    private func text(_ name: String) -> String {
      String(decoding: FileManager.default.contents(atPath: out[name]) ?? Data(), as: UTF8.self)
    }
  }
}

/// A folder that is removed when nothing needs it any more.
final class Scratch {
  let path: String

  init() throws {
    path = NSTemporaryDirectory() + "/bessemer-tests-" + UUID().uuidString
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  /// The path of a name in the folder.
  subscript(name: String) -> String { path + "/" + name }

  func write(_ name: String, _ text: String) throws {
    let folder = (self[name] as NSString).deletingLastPathComponent
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    try text.write(toFile: self[name], atomically: false, encoding: .utf8)
  }

  /// All names in the folder, hidden ones too.
  var names: [String] { ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted() }
}
