import Testing

/// Scripts run: they start with `#!`, are executable, and stop at the first error.
@Suite struct ScriptTests {
  private static let shell = Repository.files.filter { $0.suffix == "sh" || $0.path == ".ci/run" }

  @Test func scriptsAreExecutable() {
    #expect(Self.shell.count >= 3)
    for file in Self.shell {
      #expect(file.text.hasPrefix("#!"), "\(file.path) does not start with #!")
      #expect(Repository.isExecutable(file.path), "\(file.path) is not executable")
      let stops = file.lines.contains { $0.hasPrefix("set -e") || $0.hasPrefix("set -u") }
      #expect(stops, "\(file.path) goes on after errors")
    }
  }

  @Test func everyMakeTargetIsExplained() throws {
    let lines = try #require(Repository.file("Makefile")).lines
    let phony = lines.filter { $0.hasPrefix(".PHONY:") }.flatMap { $0.split(separator: " ").dropFirst() }
    #expect(phony.count >= 8)
    for target in phony {
      #expect(lines.contains { $0.hasPrefix("\(target):") && $0.contains("## ") }, "make \(target) has no explanation")
    }
  }

  /// The packages of the system are named in one place.
  @Test func packagesAreNamedOnce() throws {
    let list = try #require(Repository.file("scripts/packages.txt")).lines.filter { !$0.isEmpty && !$0.hasPrefix("#") }
    #expect(list.contains("libzstd-dev") && list.contains("libssl-dev"))
    for file in Repository.files where file.suffix == "sh" || file.name == "Makefile" || file.path == ".ci/run" {
      for package in list where package.hasSuffix("-dev") {
        #expect(!file.text.contains(package), "\(file.path) names \(package); scripts/packages.txt is the place")
      }
    }
  }
}
