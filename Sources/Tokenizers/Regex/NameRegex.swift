internal import Tensors

/// A regular expression with capturing groups for short texts such as names: numbered in order, or named
/// `(?<name>…)`. Matching is bounded, so that no expression can hang.
package struct NameRegex: Sendable {
  private let regex: Regex

  /// Throws ``ErrorCode/unsupportedFeature`` or ``ErrorCode/limit`` for what does not parse.
  package init(_ pattern: String) throws { regex = try Regex(pattern, captures: true) }

  /// The names of the groups in order, nil for one without.
  package var groups: [String?] { regex.groups }

  /// What the groups captured in the first match; nil without one.
  package func firstMatch(in text: String) throws -> [String?]? {
    var text = text
    return try text.withUTF8 { utf8 in
      var budget = Regex.Budget(steps: 200_000 + 100 * utf8.count)
      return try regex.captures(utf8.span, budget: &budget)?.map { range in
        range.map { String(decoding: utf8[$0], as: UTF8.self) }
      }
    }
  }
}
