import Foundation
import TestSupport

/// A text file of the repository.
struct SourceFile: Sendable {
  /// Relative to the repository, with slashes.
  let path: String
  let text: String

  /// The lines without their ends.
  var lines: [Substring] { text.split(separator: "\n", omittingEmptySubsequences: false) }

  /// The last component of the path.
  var name: String { String(path.split(separator: "/").last ?? "") }

  /// What follows the last dot of the name; the whole name when it has none.
  var suffix: String { String(name.split(separator: ".").last ?? "") }

  /// The name without its suffix.
  var stem: String { String(name.split(separator: ".").first ?? "") }

  var isSwift: Bool { suffix == "swift" }

  /// The target of a file under Sources.
  var target: String? {
    let parts = path.split(separator: "/")
    return parts.count > 2 && parts[0] == "Sources" ? String(parts[1]) : nil
  }

  /// `PATH:LINE: what`.
  func problem(_ line: Int, _ what: String) -> String { "\(path):\(line): \(what)" }
}

/// The repository that these tests lie in, as it is on disk.
enum Repository {
  static let root = String(Fixtures.folder.dropLast("/fixtures".count))

  /// All files but build products, relative to the root, in order.
  static let paths: [String] = {
    var found: [String] = []
    var folders = [""]
    while let folder = folders.popLast() {
      let names = (try? FileManager.default.contentsOfDirectory(atPath: root + "/" + folder)) ?? []
      for name in names where !isGenerated(name) {
        let path = folder.isEmpty ? name : folder + "/" + name
        if isFolder(path) { folders.append(path) } else { found.append(path) }
      }
    }
    return found.sorted()
  }()

  /// The files that people write: sources, scripts, documents.
  static let files: [SourceFile] = paths.filter { isWritten($0) }.map { SourceFile(path: $0, text: text($0)) }

  /// The Swift and C files of the product.
  static let sources = files.filter { $0.path.hasPrefix("Sources/") }

  static let documents = files.filter { $0.suffix == "md" }

  static func file(_ path: String) -> SourceFile? { files.first { $0.path == path } }

  static func exists(_ path: String) -> Bool { FileManager.default.fileExists(atPath: root + "/" + path) }

  static func isExecutable(_ path: String) -> Bool { FileManager.default.isExecutableFile(atPath: root + "/" + path) }

  static func byteCount(_ path: String) -> Int {
    let attributes = try? FileManager.default.attributesOfItem(atPath: root + "/" + path)
    return (attributes?[.size] as? Int) ?? 0
  }

  private static func text(_ path: String) -> String {
    String(decoding: FileManager.default.contents(atPath: root + "/" + path) ?? Data(), as: UTF8.self)
  }

  private static func isFolder(_ path: String) -> Bool {
    var isFolder: ObjCBool = false
    return FileManager.default.fileExists(atPath: root + "/" + path, isDirectory: &isFolder) && isFolder.boolValue
  }

  private static func isGenerated(_ name: String) -> Bool {
    if name.hasPrefix(".") { return ![".ci", ".gitignore", ".swift-format"].contains(name) }
    return ["__pycache__", "findings", "Package.resolved"].contains(name)
  }

  private static func isWritten(_ path: String) -> Bool {
    guard !path.hasPrefix("fixtures/") || path.hasSuffix(".py") else { return false }
    let suffixes = [".swift", ".c", ".h", ".md", ".sh", ".py", "Makefile", "/run", ".txt", ".modulemap"]
    return suffixes.contains { path.hasSuffix($0) }
  }
}
