import Testing

/// What a reviewer would say of the text of files.
@Suite struct TextRuleTests {
  @Test func linesHave120Columns() {
    expectNone(Repository.files.filter { !$0.path.hasPrefix("fixtures/") }.flatMap(TextRules.lengthOfLines))
  }

  @Test func filesAreShort() { expectNone(Repository.files.flatMap(TextRules.lengthOfFile)) }

  @Test func blanksAreTidy() { expectNone(Repository.files.flatMap(TextRules.blanks)) }

  @Test func nothingIsLeftUnfinished() { expectNone(Repository.sources.flatMap(TextRules.unfinished)) }

  @Test func bannedConstructsAreAbsent() { expectNone(Repository.sources.flatMap(TextRules.bannedConstructs)) }

  @Test func noPathOfAMachineIsWrittenDown() {
    expectNone(Repository.files.filter { !$0.path.hasPrefix("Tests/") }.flatMap(TextRules.machinePaths))
  }

  /// Every rule finds what it is there for.
  @Test(arguments: [
    ("Sources/IR/A.swift", "let a = try! f()\n"), ("Sources/IR/A.swift", "let a = b as! C\n"),
    ("Sources/IR/A.swift", "import Foundation\n"), ("Sources/IR/A.swift", "import FoundationEssentials\n"),
    ("Sources/bessemer/A.swift", "import Foundation\n"), ("Sources/IR/A.swift", "  print(1)\n"),
    ("Sources/IR/A.swift", "let home = getenv(\"HOME\")\n"), ("Sources/IR/A.swift", "// TODO: more\n"),
    ("Sources/IR/A.swift", "fatalError(\"unimplemented\")\n"), ("Sources/IR/A.swift", "let x = 1 \n"),
    ("Sources/IR/A.swift", "\tlet x = 1\n"), ("Sources/IR/A.swift", "let x = 1"),
    ("docs/A.md", "Look into `/tmp/output`.\n"), ("Sources/IR/A.swift", String(repeating: "x", count: 121) + "\n"),
    ("Sources/IR/A.swift", String(repeating: "x\n", count: 401)),
    ("Sources/C/a.c", String(repeating: "x\n", count: 501)),
  ])
  func brokenTextIsFound(path: String, text: String) {
    #expect(TextRuleTests.problems(SourceFile(path: path, text: text)).count == 1)
  }

  @Test(arguments: [
    ("Sources/bessemer/A.swift", "import FoundationEssentials\nprint(getenv(\"TERM\"))\n"),
    ("Sources/IR/A.swift", "mutating func print() -> String { graph.print() }\n"),
    ("Sources/IR/A.swift", "/// Not with `try!`.\nlet x = footprint(1)\n"),
    ("Sources/IR/A.swift", String(repeating: "é", count: 120) + "\n"),
    ("docs/A.md", "| " + String(repeating: "x", count: 200) + " |\nhttps://example.org/home/page\n"),
  ])
  func goodTextIsLeftAlone(path: String, text: String) {
    expectNone(TextRuleTests.problems(SourceFile(path: path, text: text)))
  }

  private static func problems(_ file: SourceFile) -> [String] {
    TextRules.lengthOfLines(file) + TextRules.lengthOfFile(file) + TextRules.blanks(file) + TextRules.unfinished(file)
      + TextRules.bannedConstructs(file) + TextRules.machinePaths(file)
  }
}

/// Records an issue that lists the problems, if there are any.
func expectNone(_ problems: [String], sourceLocation: SourceLocation = #_sourceLocation) {
  guard !problems.isEmpty else { return }
  let list = problems.prefix(50).joined(separator: "\n")
  Issue.record("\(problems.count) problems:\n\(list)", sourceLocation: sourceLocation)
}
