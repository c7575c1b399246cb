import Foundation
import Tensors
import Testing

/// Arguments, help, errors and exit codes.
struct UsageTests {
  @Test func prints() throws {
    let version = try Tool.run("--version")
    #expect(version.status == 0 && version.out.hasPrefix("bessemer ") && version.error.isEmpty)
    #expect(try Tool.run("--version", "--json").json["schema"]?.string == "bessemer.version/1")
    for arguments in [["--help"], ["help"], ["-h"], [], ["graph"], ["inspect", "--help"], ["help", "export"]] {
      let help = try Tool.run(arguments)
      #expect(help.status == 0 && help.out.contains("USAGE: bessemer") && help.error.isEmpty, "\(arguments)")
    }
  }

  @Test(arguments: [
    (["inpsect", "x"], "did you mean `bessemer inspect`?"),
    (["graph", "pases"], "did you mean `bessemer graph passes`?"),
    (["zzzzzzzz"], "`bessemer --help` lists them"), (["inspect"], "path"), (["inspect", "--bogus", "x"], "--bogus"),
    (["inspect", "x", "-j", "0"], "--threads"), (["inspect", "x", "--max-memory", "lots"], "--max-memory"),
    (["inspect", "x", "--quiet", "--verbose"], "--quiet"), (["explain", "jsn"], "did you mean json?"),
  ])
  func refuses(_ arguments: [String], _ expected: String) throws {
    let result = try Tool.run(arguments)
    #expect(result.status == 2 && result.out.isEmpty)
    #expect(result.error.hasPrefix("error: ") && result.error.contains(expected))
    #expect(result.error.filter { $0 == "\n" }.count == 1)
  }

  @Test func writesErrorsAsJSONToo() throws {
    for arguments in [["--json", "inspect", "/nothing/here"], ["inspect", "--json"], ["nonsense", "--json"]] {
      let result = try Tool.run(arguments)
      let json = try result.json
      #expect(json["schema"]?.string == "bessemer.error/1")
      #expect(json["message"]?.string?.isEmpty == false && json["details"]?.kind == .array)
      #expect(ErrorCode(rawValue: json["code"]?.string ?? "")?.exitStatus.rawValue == result.status)
      #expect(result.error.hasPrefix("error: "))
    }
  }

  @Test func failsWhenOutputCannotBeWritten() throws {
    let full = try Tool.Running(["ops"], standardOutput: "/dev/full").finish()
    #expect(full.status == 5 && full.error.contains("[disk-full]"))
    let pipe = Pipe()
    try pipe.fileHandleForReading.close()
    let running = Process()
    running.executableURL = URL(fileURLWithPath: Tool.path)
    running.arguments = ["ops"]
    running.standardOutput = pipe
    running.standardError = FileHandle.nullDevice
    try running.run()
    running.waitUntilExit()
    #expect(running.terminationReason == .exit && running.terminationStatus == 5)
  }

  @Test func colours() throws {
    let always = try Tool.run("inspect", "/nothing/here", "--color", "always")
    #expect(always.error.hasPrefix("\u{1B}[1;31merror:\u{1B}[0m "))
    #expect(try Tool.run(["inspect", "/nothing/here"], environment: ["NO_COLOR": "1"]).error.hasPrefix("error: "))
  }

  @Test(arguments: ["formats", "ops", "explain", "doctor"]) func writesJSON(_ command: String) throws {
    let result = try Tool.run(command, "--json")
    #expect(result.status == 0 && result.error.isEmpty)
    #expect(try result.json["schema"]?.string == "bessemer.\(command)/1")
  }

  @Test func explainsEveryCode() throws {
    for code in ErrorCode.allCases {
      let result = try Tool.run("explain", code.rawValue)
      #expect(result.status == 0 && result.out.contains(code.explanation))
    }
  }
}
