import IR
import Tensors
import TestSupport
import Testing

/// Adding a thing is one file and one line in an alphabetical list: both are there, and the list is in order.
@Suite struct RegistrationTests {
  /// The lists, by file and the text before the bracket that opens them.
  private static let lists: [(path: String, start: String)] = [
    ("Sources/IR/Ops/AllOps.swift", "let allOps: [any Op.Type] = ["),
    ("Sources/Architectures/Architecture.swift", "public let architectures: [any Architecture.Type] = ["),
    ("Sources/bessemer/Bessemer.swift", "static let commands: [any ParsableCommand.Type] = ["),
  ]

  @Test(arguments: lists)
  func listsAreAlphabetical(path: String, start: String) throws {
    let names = RegistrationTests.names(in: try #require(Repository.file(path)), after: start)
    #expect(!names.isEmpty)
    expectNone(RegistrationTests.misplaced(names).map { "\(path): \($0)" })
  }

  @Test func disorderIsFound() {
    let file = SourceFile(path: "Sources/A/A.swift", text: "let all = [\n  Add.self,\n  Sub.self,\n  Mul.self,\n]\n")
    #expect(RegistrationTests.names(in: file, after: "let all = [") == ["Add", "Sub", "Mul"])
    #expect(RegistrationTests.misplaced(["Add", "Sub", "Mul"]).count == 1)
    #expect(RegistrationTests.misplaced(["Add", "Add"]).count == 1)
  }

  @Test func everyOperatorIsRegistered() throws {
    let listed = try names(0)
    let declared = RegistrationTests.declared(in: "Sources/IR/Ops/") { $0.contains("static let schema = OpSchema(") }
      .map { $0.name.hasPrefix("Ascend") ? "Ascend." + $0.stem.dropFirst("Ascend".count) : $0.stem }
    #expect(Set(listed) == Set(declared))
  }

  @Test func everyArchitectureIsRegistered() throws {
    let listed = try names(1)
    let declared = RegistrationTests.declared(in: "Sources/Architectures/") { $0.contains(": Architecture {") }
    #expect(Set(listed) == Set(declared.filter { $0.name != "Architecture.swift" }.map(\.stem)))
  }

  @Test func everyCommandIsRegistered() throws {
    let listed = try names(2)
    let groups = Commands.all.flatMap(\.subcommands)
    for type in Commands.types { #expect(listed.contains(type) || groups.contains(type), "\(type) is in no list") }
    for type in listed { #expect(Commands.types.contains(type), "\(type) has no configuration") }
  }

  @Test(arguments: OpRegistry.standard.ops.map { $0.schema.name })
  func everyOperatorHasAFixture(op: String) { #expect(Repository.exists("fixtures/ops/\(op).json")) }

  @Test func everyFixtureHasItsOperator() {
    let names = Set(OpRegistry.standard.ops.map { $0.schema.name + ".json" })
    for file in Fixtures.names("ops", suffix: ".json") { #expect(names.contains(file), "fixtures/ops/\(file)") }
  }

  @Test(arguments: ErrorCode.allCases)
  func everyErrorIsExplained(code: ErrorCode) {
    #expect(code.explanation.count > 20 && code.explanation.hasSuffix("."))
    #expect(code.exitStatus != .success)
    #expect(code.rawValue.allSatisfy { $0.isLowercase && $0.isASCII || $0 == "-" })
    let others = ErrorCode.allCases.filter { $0 != code && $0.explanation == code.explanation }
    #expect(others.isEmpty)
  }

  private func names(_ index: Int) throws -> [String] {
    let list = RegistrationTests.lists[index]
    return RegistrationTests.names(in: try #require(Repository.file(list.path)), after: list.start)
  }

  /// The files of a folder with a line that declares something.
  private static func declared(in folder: String, where declares: (Substring) -> Bool) -> [SourceFile] {
    Repository.sources.filter { $0.path.hasPrefix(folder) && $0.lines.contains(where: declares) }
  }

  /// The `NAME.self` between `start` and the bracket that closes the list.
  static func names(in file: SourceFile, after start: String) -> [String] {
    guard let open = file.text.firstRange(of: start),
      let close = file.text[open.upperBound...].firstIndex(of: "]")
    else { return [] }
    return file.text[open.upperBound..<close].split { ", \n".contains($0) }.filter { $0.hasSuffix(".self") }
      .map { String($0.dropLast(".self".count)) }
  }

  private static func misplaced(_ names: [String]) -> [String] {
    zip(names, names.dropFirst()).filter { $0 >= $1 }.map { "\($1) stands after \($0)" }
  }
}
