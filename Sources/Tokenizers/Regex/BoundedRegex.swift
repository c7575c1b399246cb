internal import Synchronization
internal import Tensors

/// A regular expression of a person's that is looked for in texts, with a bound on the work of all searches together.
public final class BoundedRegex: Sendable {
  private let regex: Regex
  private let budget = Mutex(Regex.Budget(steps: 200_000_000))

  /// Throws what is wrong with the pattern.
  public init(_ pattern: String) throws { regex = try Regex(pattern) }

  /// Whether the expression matches anywhere in `text`. Throws ``ErrorCode/limit`` when that takes too many steps.
  public func isFound(in text: String) throws -> Bool {
    // Searching takes the budget along and brings back what is left.
    try budget.withLock { budget in try regex.search(text.utf8Span.span, from: 0, budget: &budget) != nil }
  }
}
