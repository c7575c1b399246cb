internal import Tensors
internal import Tokenizers

/// A selector of names: a glob, in which `*` stands for any text and `?` for one character, or `/REGEX/` found
/// anywhere.
public struct NamePattern: Sendable {
  public let text: String
  private let regex: NameRegex?

  /// Throws ``ErrorCode/usage`` when the regular expression does not parse.
  public init(_ text: String) throws {
    self.text = text
    guard text.count >= 2, text.hasPrefix("/"), text.hasSuffix("/") else {
      regex = nil
      return
    }
    do { regex = try NameRegex(String(text.dropFirst().dropLast())) } catch let error as BessemerError {
      throw BessemerError(.usage, "\(quoted(text)) is not a regular expression: \(error.message)")
    }
  }

  /// Throws ``ErrorCode/limit`` when the regular expression takes too many steps on the name.
  public func matches(_ name: String) throws -> Bool {
    if let regex { return try regex.firstMatch(in: name) != nil }
    return NamePattern.glob(Array(text.unicodeScalars), Array(name.unicodeScalars))
  }

  /// Linear but for the last star, to which it returns on a mismatch.
  private static func glob(_ pattern: [Unicode.Scalar], _ name: [Unicode.Scalar]) -> Bool {
    var (p, n) = (0, 0)
    var star: (pattern: Int, name: Int)?
    while n < name.count {
      if p < pattern.count, pattern[p] == "*" {
        star = (p, n)
        p += 1
      } else if p < pattern.count, pattern[p] == "?" || pattern[p] == name[n] {
        p += 1
        n += 1
      } else if let last = star {
        p = last.pattern + 1
        n = last.name + 1
        star = (last.pattern, last.name + 1)
      } else {
        return false
      }
    }
    return pattern[p...].allSatisfy { $0 == "*" }
  }
}
