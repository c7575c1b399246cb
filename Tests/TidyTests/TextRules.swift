/// Rules about the text of a single file. Each answers with the places where it is broken.
enum TextRules {
  static let maximumColumns = 120
  static let maximumSwiftLines = 400
  static let maximumCLines = 500

  static func lengthOfLines(_ file: SourceFile) -> [String] {
    let isDocument = file.suffix == "md"
    return file.lines.enumerated().compactMap { index, line in
      guard line.utf8.count > maximumColumns, line.count > maximumColumns else { return nil }
      // A row of a table and an address cannot be broken.
      if isDocument && (line.hasPrefix("|") || line.contains("](http")) { return nil }
      return file.problem(index + 1, "\(line.count) columns, at most \(maximumColumns)")
    }
  }

  static func lengthOfFile(_ file: SourceFile) -> [String] {
    let limit: Int
    switch file.suffix {
    case "swift": limit = maximumSwiftLines
    case "c", "h": limit = maximumCLines
    default: return []
    }
    let count = file.text.utf8.count { $0 == 10 }
    return count > limit ? [file.problem(limit + 1, "\(count) lines, at most \(limit)")] : []
  }

  /// No trailing blanks, no tabs but in a Makefile, and one newline at the end.
  static func blanks(_ file: SourceFile) -> [String] {
    var problems: [String] = []
    for (index, line) in file.lines.enumerated() {
      if line.last == " " || line.last == "\t" { problems.append(file.problem(index + 1, "blanks at the end")) }
      if file.name != "Makefile", line.utf8.contains(9) { problems.append(file.problem(index + 1, "a tab")) }
    }
    if !file.text.isEmpty, !file.text.hasSuffix("\n") || file.text.hasSuffix("\n\n") {
      problems.append(file.problem(file.lines.count, "does not end with one newline"))
    }
    return problems
  }

  /// Work left undone is written down elsewhere, not in the product.
  static func unfinished(_ file: SourceFile) -> [String] {
    let words = ["TODO", "FIXME", "XXX", "not implemented", "fatalError(\"unimplemented\")"]
    // Six of them are where a temporary's name gets its random part.
    return lines(of: file, with: words) { !$0.contains("XXXXXX") }
  }

  /// What Swift code of the product may not use.
  static func bannedConstructs(_ file: SourceFile) -> [String] {
    guard file.isSwift else { return [] }
    let isCommandLine = file.target == "bessemer"
    var problems = lines(of: file, with: ["try!", "as!"]) { !$0.isComment }
    problems += lines(of: file, with: ["import Foundation"]) { line in
      !(isCommandLine && line.hasSuffix("import FoundationEssentials"))
    }
    guard !isCommandLine else { return problems }
    problems += lines(of: file, with: ["getenv"]) { !$0.isComment }
    problems += lines(of: file, with: ["print("]) { line in
      guard let place = line.firstRange(of: "print("), !line.isComment else { return false }
      let before = line[..<place.lowerBound]
      return !before.hasSuffix("func ") && !(before.last.map { $0.isLetter || $0 == "." || $0 == "_" } ?? false)
    }
    return problems
  }

  /// Paths that exist on one machine only.
  static func machinePaths(_ file: SourceFile) -> [String] {
    let paths = ["home", "root", "tmp", "work"].map { "/\($0)/" }
    return lines(of: file, with: paths) { line in
      paths.contains { path in
        guard let place = line.firstRange(of: path) else { return false }
        let before = line[..<place.lowerBound].last
        return before.map { " \t\"'`(=:,[".contains($0) } ?? true
      }
    }
  }

  private static func lines(of file: SourceFile, with words: [String], where holds: (Substring) -> Bool) -> [String] {
    words.filter { file.text.contains($0) }.flatMap { word in
      file.lines.enumerated().compactMap { index, line in
        line.contains(word) && holds(line) ? file.problem(index + 1, "holds `\(word)`") : nil
      }
    }
  }
}

extension Substring {
  /// Whether the line holds nothing but a comment.
  fileprivate var isComment: Bool { drop { $0 == " " }.hasPrefix("//") }
}
