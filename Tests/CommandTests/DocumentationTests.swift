import Foundation
import Tensors
import Testing

/// docs/CLI.md and the command say the same.
struct DocumentationTests {
  private let sections: [String: String]

  init() throws {
    let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .appendingPathComponent("../../docs/CLI.md")
    let text = try String(contentsOf: file, encoding: .utf8)
    var sections: [String: String] = [:]
    for section in ("\n" + text).components(separatedBy: "\n## ").dropFirst() {
      let lines = section.split(separator: "\n", maxSplits: 1)
      sections[lines[0].replacingOccurrences(of: "`", with: "")] = lines.count > 1 ? String(lines[1]) : ""
    }
    self.sections = sections
  }

  @Test func namesEveryCommandAndNoOther() throws {
    let titles = sections.keys.filter { $0 == $0.lowercased() }
    #expect(Set(titles) == Set(try commands()))
  }

  @Test func namesEveryOptionAndNoOther() throws {
    let common = options(in: try #require(sections["Options of every command"]))
    for command in try commands() {
      let help = try Tool.run(command.split(separator: " ").map(String.init) + ["--help"])
      #expect(help.status == 0)
      let known = options(in: help.out)
      let section = options(in: try #require(sections[command], "no section \(command)"))
      #expect(section.subtracting(known) == [], "documented for \(command) but not there")
      #expect(known.subtracting(section).subtracting(common) == [], "not documented for \(command)")
      #expect(common.subtracting(known) == [], "not an option of \(command)")
    }
  }

  @Test func namesEveryExitCode() throws {
    let section = try #require(sections["Exit codes and errors"])
    for code in Set(ErrorCode.allCases.map(\.exitStatus.rawValue)) { #expect(section.contains("| \(code) |")) }
  }

  /// The names under SUBCOMMANDS, those of a group with its name in front.
  private func commands(of group: [String] = []) throws -> [String] {
    let help = try Tool.run(group + ["--help"]).out
    guard let list = help.components(separatedBy: "SUBCOMMANDS:\n").dropFirst().first else { return [] }
    var names: [String] = []
    for line in list.split(separator: "\n")
    where line.hasPrefix("  ") && !line.hasPrefix("   ") && !line.contains("See") {
      let name = line.dropFirst(2).prefix { $0 != " " && $0 != "," }
      let below = try commands(of: group + [String(name)])
      names += below.isEmpty ? [(group + [String(name)]).joined(separator: " ")] : below
    }
    return names
  }

  private func options(in text: String) -> Set<String> {
    Set(text.matches(of: /--[a-z][a-z_-]*/).map { String($0.output) })
  }
}
