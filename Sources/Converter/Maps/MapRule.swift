public import Tensors

/// A rule of a map: which tensors it takes, what it does to them, and the names it gives. docs/MAPS.md has the meaning
/// of each.
public struct MapRule: Sendable {
  /// How a tensor is split.
  public enum Parts: Sendable, Equatable {
    case sizes([Int])
    /// So many of the same size.
    case count(Int)

    var count: Int {
      switch self {
      case .sizes(let sizes): sizes.count
      case .count(let count): count
      }
    }
  }

  public enum Action: Sendable, Equatable {
    /// New names only; also for tensors that stay as they are.
    case rename
    case transpose(axes: [Int]?)
    case reshape([Int])
    case slice(axis: Int, first: Int, count: Int, step: Int)
    /// Tensors of one pattern each, or of one pattern in the order of a field, become one.
    case concat(axis: Int)
    case stack(axis: Int)
    /// One tensor becomes several along an axis.
    case split(axis: Int, Parts)
    case unstack(axis: Int)
    /// Rows of each of `heads` blocks: from first half, second half to taking turns, or back. The rows of rotary
    /// queries and keys stand one way or the other.
    case interleave(heads: Int)
    case deinterleave(heads: Int)
    case cast(DType)
    case drop

    /// Whether several tensors become one.
    var joins: Bool {
      switch self {
      case .concat, .stack: true
      default: false
      }
    }

    /// Whether one tensor becomes several.
    var parts: Bool {
      switch self {
      case .split, .unstack: true
      default: false
      }
    }
  }

  public let action: Action
  public let patterns: [MapPattern]
  /// The names given; none keeps them.
  public let names: [MapTemplate]
  /// The field whose numbers from 0 on put parts in order.
  public let over: String?
  /// Whether the rule may match nothing.
  public let isOptional: Bool
  /// Where the rule stands, for messages: `line 12`.
  public let place: String

  /// `names` are one for all, none, or as many as patterns, each for its own; of parts, one for each part, or one
  /// `over` a field. Throws ``ErrorCode/usage`` when these do not go together.
  public init(
    _ action: Action, _ patterns: [String], to names: [String] = [], over: String? = nil, isOptional: Bool = false,
    place: String = "a built-in rule"
  ) throws {
    self.action = action
    self.patterns = try patterns.map { try MapPattern($0) }
    self.over = over
    self.isOptional = isOptional
    self.place = place
    guard let first = self.patterns.first else { throw BessemerError(.usage, "a rule without a pattern") }
    let own = action.parts || action.joins ? nil : self.patterns
    let extra = action.parts ? Set([over].compactMap(\.self)) : []
    self.names = try names.enumerated().map { index, name in
      try MapTemplate(name, for: own.map { $0[min(index, $0.count - 1)] } ?? first, extra: extra)
    }
    if let problem = action.joins ? joinProblem(first) : action.parts ? partProblem(first) : nameProblem {
      throw BessemerError(.usage, problem)
    }
  }

  private var nameProblem: String? {
    if over != nil { return "\"over\" is for what joins or parts" }
    return names.isEmpty || names.count == patterns.count
      ? nil : "\(patterns.count) patterns and \(names.count) names do not go together"
  }

  private func joinProblem(_ first: MapPattern) -> String? {
    if names.count != 1 { return "what is joined needs one name, \"to\"" }
    if let over {
      if patterns.count > 1 { return "\"over\" joins tensors of one pattern" }
      return first.fields.contains(over) ? nil : "\(quoted(first.text)) has no field {\(over)}"
    }
    if patterns.count < 2 { return "one pattern is joined \"over\" one of its fields" }
    let odd = patterns.first { $0.fields != first.fields || $0.textCount != first.textCount }
    return odd.map { "\(quoted($0.text)) leaves other texts open than \(quoted(first.text))" }
  }

  private func partProblem(_ first: MapPattern) -> String? {
    if patterns.count > 1 { return "what is parted has one pattern" }
    if let over {
      if names.count != 1 { return "parts \"over\" a field have one name with that field" }
      return first.fields.contains(over) ? "{\(over)} numbers the parts and cannot be in \(quoted(first.text))" : nil
    }
    if case .split(_, let parts) = action, parts.count != names.count {
      return "\(parts.count) parts and \(names.count) names do not go together"
    }
    return names.count < 2 ? "parts need several names, or one \"over\" a field" : nil
  }
}
