/// What the documents' rules look at in a text of Markdown.
struct Markdown {
  let file: SourceFile

  /// The lines outside fenced blocks, with their numbers.
  var prose: [(number: Int, line: Substring)] {
    var isFenced = false
    return file.lines.enumerated().compactMap { index, line in
      if line.drop(while: { $0 == " " }).hasPrefix("```") {
        isFenced.toggle()
        return nil
      }
      return isFenced ? nil : (index + 1, line)
    }
  }

  /// The targets of `[text](target)`.
  var links: [(number: Int, target: String)] {
    prose.flatMap { number, line in
      line.split(separator: "](", omittingEmptySubsequences: false).dropFirst().compactMap { rest in
        rest.firstIndex(of: ")").map { (number, String(rest[..<$0])) }
      }
    }
  }

  /// The anchors that headings make: `## On the *way*` is `on-the-way`.
  var anchors: Set<String> {
    Set(
      prose.map(\.line).filter { $0.hasPrefix("#") }.map { line in
        line.drop { $0 == "#" }.drop { $0 == " " }.lowercased()
          .compactMap { $0 == " " ? "-" : $0.isLetter || $0.isNumber || $0 == "-" || $0 == "_" ? String($0) : nil }
          .joined()
      })
  }

  /// What stands between single backticks.
  var code: [(number: Int, text: String)] {
    prose.flatMap { number, line in
      let parts = line.split(separator: "`", omittingEmptySubsequences: false)
      return stride(from: 1, to: parts.count - 1, by: 2).map { (number, String(parts[$0])) }
    }
  }

  /// The cells of the rows of tables, without the rows under the titles.
  var rows: [(number: Int, cells: [String])] {
    prose.compactMap { number, line in
      guard line.hasPrefix("|"), !line.hasPrefix("|-"), !line.hasPrefix("| -") else { return nil }
      let cells = line.dropFirst().dropLast().split(separator: "|", omittingEmptySubsequences: false)
      return (number, cells.map { String($0.drop { $0 == " " }).trimmedEnd })
    }
  }

  /// Links and paths that lead nowhere.
  var problems: [String] {
    let folder = file.path.split(separator: "/").dropLast().joined(separator: "/")
    var problems: [String] = []
    for (number, target) in links where !target.contains("://") && !target.hasPrefix("mailto:") {
      let parts = target.split(separator: "#", maxSplits: 1, omittingEmptySubsequences: false)
      let path = parts[0].isEmpty ? file.path : Markdown.resolved(String(parts[0]), from: folder)
      guard parts[0].isEmpty || Repository.exists(path) else {
        problems.append(file.problem(number, "links to \(target), which is not there"))
        continue
      }
      guard parts.count > 1 else { continue }
      let other = parts[0].isEmpty ? file : Repository.file(path)
      if let other, !Markdown(file: other).anchors.contains(String(parts[1])) {
        problems.append(file.problem(number, "links to \(target), but there is no such heading"))
      }
    }
    let roots = ["Sources/", "Tests/", "Benchmarks/", "fixtures/", "docs/", "scripts/", ".ci/"]
    for (number, text) in code where roots.contains(where: { text.hasPrefix($0) }) {
      // NAME, <name>, * and … stand for something; what follows a colon or a space is no path.
      let path = String(text.prefix { !" :".contains($0) })
      guard !path.contains("NAME"), !path.contains(where: { "<*…".contains($0) }) else { continue }
      if !Repository.exists(path) { problems.append(file.problem(number, "names `\(path)`, which is not there")) }
    }
    return problems
  }

  /// A relative path seen from a folder, without `..`.
  private static func resolved(_ path: String, from folder: String) -> String {
    var parts = folder.split(separator: "/")
    for part in path.split(separator: "/") {
      if part == ".." { _ = parts.popLast() } else if part != "." { parts.append(part) }
    }
    return parts.joined(separator: "/")
  }
}

extension String {
  fileprivate var trimmedEnd: String {
    var text = self
    while text.last == " " { text.removeLast() }
    return text
  }
}
