import IR
import Tensors
import Testing

/// Documents name what there is, and what they name is there.
@Suite struct DocumentTests {
  @Test func linksAndPathsLeadSomewhere() { expectNone(Repository.documents.flatMap { Markdown(file: $0).problems }) }

  @Test(arguments: [
    "See [there](docs/NOWHERE.md).\n", "See [there](#nothing).\n", "Edit `Sources/IR/Nothing.swift:12`.\n",
    "See [there](README.md#no-such-heading).\n",
  ])
  func brokenLinksAreFound(text: String) {
    #expect(Markdown(file: SourceFile(path: "A.md", text: text)).problems.count == 1)
  }

  @Test func goodLinksAreLeftAlone() {
    let text = "# On `A`\n[a](#on-a) [b](README.md) [c](https://example.org) `Sources/IR` `fixtures/ops/NAME.json`\n"
    expectNone(Markdown(file: SourceFile(path: "A.md", text: text)).problems)
  }

  @Test(arguments: ["README.md", "docs/CLI.md"])
  func everyCommandIsDocumented(path: String) throws {
    // A document that another part of the project brings is checked once it is there.
    guard path == "README.md" || Repository.exists(path) else { return }
    let text = try #require(Repository.file(path)).text
    #expect(Commands.names.count >= 15)
    for name in Commands.names {
      let isNamed = ["`\(name)`", "`\(name) ", "bessemer \(name)"].contains { text.contains($0) }
      #expect(isNamed, "\(path) does not name `bessemer \(name)`")
    }
  }

  @Test func everyModelTypeIsDocumented() throws {
    let text = try #require(Repository.file("README.md")).text
    for file in Repository.sources where file.path.hasPrefix("Sources/Architectures/") {
      for line in file.lines where line.contains("static let modelTypes = [") {
        let types = line.split(separator: "\"").enumerated().filter { $0.offset % 2 == 1 }.map(\.element)
        #expect(!types.isEmpty)
        for type in types { #expect(text.contains("`\(type)`"), "README.md does not name model type \(type)") }
      }
    }
  }

  @Test func everyTargetIsMapped() throws {
    let text = try #require(Repository.file("docs/ARCHITECTURE.md")).text
    let manifest = PackageManifest(text: try #require(Repository.file("Package.swift")).text)
    for target in manifest.targets where !target.isTest && target.name != "TestSupport" {
      #expect(text.contains("`\(target.name)`"), "docs/ARCHITECTURE.md does not name the target \(target.name)")
    }
  }

  /// The table of limits names constants by their place in the code: `Type.constant`.
  @Test func limitsAreThoseOfTheCode() throws {
    let document = Markdown(file: try #require(Repository.file("docs/SECURITY.md")))
    let names = document.rows.compactMap { row -> (Int, String)? in
      guard row.cells.count == 3, row.cells[2].hasPrefix("`"), row.cells[2].hasSuffix("`") else { return nil }
      return (row.number, String(row.cells[2].dropFirst().dropLast()))
    }
    #expect(names.count >= 20)
    let declarations = Repository.sources.filter { $0.isSwift }.map(\.text)
    for (number, name) in names {
      let member = name.split(separator: ".").last ?? ""
      let isThere = declarations.contains { text in
        ["let \(member)", "var \(member)", "case \(member)"].contains { text.contains($0) }
      }
      #expect(isThere, "docs/SECURITY.md:\(number): no `\(name)` in the sources")
    }
  }
}
