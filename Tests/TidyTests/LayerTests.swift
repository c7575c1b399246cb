import Testing

/// The arrows between targets point down: Package.swift lists targets lowest first, and imports follow it.
@Suite struct LayerTests {
  private static let manifest = PackageManifest(text: Repository.file("Package.swift")?.text ?? "")
  private static let order = manifest.targets.filter { !$0.isTest && $0.name != "TestSupport" }.map(\.name)

  /// What a layer may know of the package, where that is less than all that stands above it in Package.swift.
  private static let allowed: [String: Set<String>] = [
    "Tensors": ["CKernels", "CSystem"],
    "IR": ["Tensors"],
    "Safetensors": ["Tensors"],
    "Checkpoints": ["CCrypto", "CHDF5", "CZlib", "Safetensors", "Tensors"],
    "Tokenizers": ["Tensors"],
    "Images": ["CPNG", "Tensors"],
    "Passes": ["IR", "Tensors"],
    "Architectures": ["IR", "Tensors"],
    "Digests": ["CCrypto", "Tensors"],
    "Quantization": ["CKernels", "IR", "Tensors"],
    "Bundle": ["CSystem", "CZstd", "Digests", "IR", "Safetensors", "Tensors"],
    "Runtime": ["CKernels", "IR", "Images", "Tensors", "Tokenizers"],
    "Validation": ["CKernels", "Digests", "IR", "Runtime", "Tensors", "Tokenizers"],
    "YAML": ["CYaml", "Tensors"],
  ]

  /// Layers that only compute do not talk to the system.
  private static let pure: Set<String> = ["Architectures", "Passes", "Tokenizers", "Validation"]

  /// System modules and packages below the command line.
  private static let outside: Set<String> = ["Dispatch", "Glibc", "Synchronization"]

  @Test func everyTargetIsKnown() {
    #expect(Self.order.count >= 14)
    let folders = Set(Repository.sources.compactMap(\.target))
    #expect(folders == Set(Self.order))
    #expect(Set(Self.allowed.keys).isSubset(of: Self.order))
  }

  @Test func dependenciesStandAboveTheirTarget() {
    expectNone(LayerTests.misplaced(Self.manifest))
  }

  @Test func importsAreDeclaredAndAllowed() {
    expectNone(Repository.sources.flatMap { LayerTests.problems($0, Self.manifest) })
  }

  @Test(arguments: [
    ("IR", "public import Safetensors"), ("Runtime", "import Passes"), ("Checkpoints", "internal import IR"),
    ("Passes", "import Glibc"), ("IR", "@testable import Bundle"), ("Tensors", "import struct IR.Graph"),
    ("Converter", "import ArgumentParser"),
  ])
  func wrongImportsAreFound(target: String, line: String) {
    let file = SourceFile(path: "Sources/\(target)/A.swift", text: line + "\n")
    #expect(LayerTests.problems(file, Self.manifest).count >= 1)
  }

  @Test func wrongOrderIsFound() {
    let text = """
      targets: [
        .target(name: "A", dependencies: ["B"]),
        .target(name: "B"),
        .executableTarget(name: "C", dependencies: [
          "A", .product(name: "X", package: "x")]),
      ]
      """
    #expect(LayerTests.misplaced(PackageManifest(text: text)).count == 1)
  }

  private static func misplaced(_ manifest: PackageManifest) -> [String] {
    let names = manifest.targets.filter { !$0.isTest }.map(\.name)
    var seen: Set<String> = []
    var problems: [String] = []
    for target in manifest.targets where !target.isTest {
      for dependency in target.dependencies where names.contains(dependency) && !seen.contains(dependency) {
        problems.append("Package.swift: \(target.name) depends on \(dependency), which stands below it")
      }
      seen.insert(target.name)
    }
    return problems
  }

  private static func problems(_ file: SourceFile, _ manifest: PackageManifest) -> [String] {
    guard file.isSwift, let name = file.target else { return [] }
    let declared = Set(manifest.targets.first { $0.name == name }?.dependencies ?? [])
    return file.lines.enumerated().compactMap { index, line in
      guard let module = LayerTests.imported(line) else { return nil }
      if outside.contains(module) {
        let isPure = pure.contains(name) && module == "Glibc"
        return isPure ? file.problem(index + 1, "\(name) does no input or output, but imports \(module)") : nil
      }
      guard declared.contains(module) || module.hasPrefix("Foundation") else {
        return file.problem(index + 1, "\(module) is no dependency of \(name) in Package.swift")
      }
      if let allowed = allowed[name], !allowed.contains(module) {
        return file.problem(index + 1, "\(name) may not know \(module)")
      }
      return nil
    }
  }

  /// The module that a line imports.
  private static func imported(_ line: Substring) -> String? {
    let words = line.split(separator: " ")
    let modifiers: Set<Substring> = ["@testable", "public", "package", "internal", "private", "fileprivate"]
    guard let start = words.firstIndex(of: "import"), words[..<start].allSatisfy({ modifiers.contains($0) }) else {
      return nil
    }
    let kinds: Set<Substring> = ["struct", "class", "enum", "protocol", "func", "typealias", "var", "let"]
    let name = words[(start + 1)...].first { !kinds.contains($0) }
    return name.map { String($0.prefix { $0 != "." }) }
  }
}
