/// How scales and codes are found where a scheme leaves a choice.
///
/// Source: the weight quantizers of msModelSlim 26.1; what they calculate is said in ``WeightCodes``.
public enum WeightMethod: Sendable, Equatable {
  /// By the range of each group.
  case minmax
  /// By gradients of what rounding costs the outputs.
  case autoround(RoundingSearch)
  /// By range, and one column after the other so that later ones make up for earlier ones.
  case gptq(GPTQ)
  /// By the range that so much of each group is in, 0...1 of its magnitudes.
  case percentile(Double)
  /// Four bits for all but outliers.
  case sparse(OutlierRule)
  /// Least squares and rounding in turns, at most so often, until no row gets better.
  case ssz(steps: Int)
  /// Microscaling float4 with the exponent of largest / divisor rounded up; without a divisor the best for the weight.
  case ceilX(divisor: Double?)
  /// Microscaling float4 with the largest of a block near 6 or 4, whichever is better.
  case fourOverSix
  /// Microscaling float8 with the exponent rounded up or down, whichever is better.
  case mseRound

  /// The method that a person names: `ssz`, `ssz:10`, `percentile:0.999`; nil for no known one.
  public init?(_ text: String) {
    let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
    let number = parts.count > 1 ? Double(parts[1]) : nil
    guard parts.count < 2 || number != nil else { return nil }
    switch (parts[0].lowercased().filter { $0 != "-" && $0 != "_" }, number) {
    case ("minmax", nil): self = .minmax
    case ("autoround", nil): self = .autoround(RoundingSearch())
    case ("autoround", let steps?) where steps >= 1 && steps <= 10_000 && steps == steps.rounded():
      self = .autoround(RoundingSearch(steps: Int(steps)))
    case ("gptq", nil): self = .gptq(GPTQ())
    case ("gptq", let damping?) where damping > 0 && damping <= 1: self = .gptq(GPTQ(damping: Float(damping)))
    case ("percentile", let share?) where share > 0 && share <= 1: self = .percentile(share)
    case ("ssz", nil): self = .ssz(steps: 50)
    case ("ssz", let steps?) where steps >= 1 && steps <= 10_000 && steps == steps.rounded():
      self = .ssz(steps: Int(steps))
    case ("ceilx", nil): self = .ceilX(divisor: 7.25)
    case ("ceilx", let divisor?) where divisor >= 6 && divisor <= 12: self = .ceilX(divisor: divisor)
    case ("ceilxsearch", nil): self = .ceilX(divisor: nil)
    case ("fouroversix", nil): self = .fourOverSix
    case ("mseround", nil): self = .mseRound
    default: return nil
    }
  }

  /// The names that ``init(_:)`` knows.
  public static let names = [
    "autoround[:STEPS]", "ceil-x[:DIVISOR]", "ceil-x-search", "four-over-six", "gptq[:DAMPING]", "minmax", "mse-round",
    "percentile:SHARE", "ssz[:STEPS]",
  ]

  /// Whether codes of a row depend on the other rows, so that all rows of a weight have to be quantized together.
  public var needsWholeWeight: Bool {
    switch self {
    case .sparse(.shareOfAll), .ssz, .ceilX(divisor: nil): true
    default: false
    }
  }

  /// Whether the layer's inputs have to be known.
  public var needsData: Bool {
    switch self {
    case .autoround, .gptq: true
    default: false
    }
  }

  /// Whether codes of such a grid can be found by the method.
  public func suits(_ grid: WeightGrid) -> Bool {
    switch (self, grid) {
    case (.minmax, _), (.ceilX, .mxfp4), (.fourOverSix, .mxfp4), (.mseRound, .mxfp8): true
    case (.autoround, .whole), (.sparse, .whole(bits: 8, isSymmetric: true)): true
    case (.percentile, .whole), (.gptq, .whole): true
    case (.ssz, .whole(bits: _, isSymmetric: true)): true
    default: false
    }
  }
}
