import Tensors

/// Texts from files.
public enum TextFile {
  /// No text file is larger.
  public static let maximumByteCount = 1 << 30

  /// The whole text, which must be UTF-8.
  public static func text(_ path: String) throws -> String {
    let bytes = try InputFile.contents(of: path, limit: maximumByteCount)
    guard let text = bytes.withUnsafeBytes({ String(validating: $0, as: UTF8.self) }) else {
      throw BessemerError(.wrongFormat, "the text is not UTF-8", file: path)
    }
    return text
  }

  /// The lines, without the empty one that a final newline leaves.
  public static func lines(_ path: String) throws -> [String] {
    var lines = try text(path).utf8.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).map { line in
      var line = line
      if line.last == UInt8(ascii: "\r") { line.removeLast() }
      return String(decoding: line, as: UTF8.self)
    }
    if lines.last == "" { lines.removeLast() }
    return lines
  }
}
