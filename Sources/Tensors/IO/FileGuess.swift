/// What a file looks like that is not what it was taken for.
package enum FileGuess {
  private static let starts: [(String, String)] = [
    ("version https://git-lfs", "a git-lfs pointer: fetch the real file with `git lfs pull`"),
    ("<!DOCTYPE", "an HTML page, perhaps an error page saved by a download"),
    ("<!doctype", "an HTML page, perhaps an error page saved by a download"), ("<html", "an HTML page"),
    ("<?xml", "an XML document"),
    ("PK\u{3}\u{4}", "a zip archive, as PyTorch writes"), ("GGUF", "a GGUF file"), ("{", "JSON text"),
    ("\u{1F}", "a gzip archive"),
  ]

  /// A name for the format that these first bytes belong to, or nil.
  package static func name(_ start: [UInt8]) -> String? {
    for (prefix, name) in starts where start.starts(with: prefix.utf8) {
      // A lone brace is also the low byte of many lengths; a text goes on with text.
      if prefix == "{", !start.allSatisfy({ $0 >= 0x20 || $0 == 10 || $0 == 13 || $0 == 9 }) { continue }
      return name
    }
    if start.starts(with: [0x89, 0x48, 0x44, 0x46]) { return "an HDF5 file" }
    if start.count > 1, start[0] == 0x80, (2...5).contains(start[1]) { return "a Python pickle" }
    return nil
  }
}
