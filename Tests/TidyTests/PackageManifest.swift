/// The targets of Package.swift with their dependencies, in the order in which they stand there.
struct PackageManifest {
  struct Target {
    let name: String
    let isTest: Bool
    let isSystem: Bool
    let dependencies: [String]
  }

  let targets: [Target]

  /// Reads the text of a manifest: each target is a call with a `name:` and maybe `dependencies: [ … ]`.
  init(text: String) {
    let kinds = [".systemLibrary(", ".target(", ".executableTarget(", ".testTarget("]
    var rest = text[(text.firstRange(of: "targets: [\n")?.upperBound ?? text.startIndex)...]
    var targets: [Target] = []
    func firstCall(_ text: Substring) -> (kind: String, range: Range<String.Index>)? {
      kinds.compactMap { kind in text.firstRange(of: kind).map { (kind, $0) } }
        .min { $0.1.lowerBound < $1.1.lowerBound }
    }
    while let call = firstCall(rest) {
      rest = rest[call.range.upperBound...]
      let body = rest[..<(firstCall(rest)?.range.lowerBound ?? rest.endIndex)]
      guard let name = PackageManifest.quoted(after: "name: ", in: body).first else { continue }
      var dependencies: [String] = []
      if let start = body.firstRange(of: "dependencies: ["), let end = body[start.upperBound...].firstIndex(of: "]") {
        dependencies = PackageManifest.quoted(after: "", in: body[start.upperBound..<end])
      }
      targets.append(
        Target(
          name: name, isTest: call.kind == ".testTarget(", isSystem: call.kind == ".systemLibrary(",
          dependencies: dependencies))
    }
    self.targets = targets
  }

  /// The texts between quotes, from `prefix` on.
  private static func quoted(after prefix: String, in text: Substring) -> [String] {
    guard let start = prefix.isEmpty ? text.startIndex : text.firstRange(of: prefix)?.upperBound else { return [] }
    let parts = text[start...].split(separator: "\"", omittingEmptySubsequences: false)
    return stride(from: 1, to: parts.count, by: 2).map { String(parts[$0]) }
  }
}
