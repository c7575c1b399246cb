import Quantization
import Tensors

/// What each unit of a model may become.
struct CandidateFinder {
  private(set) var units: [PlanUnit] = []
  /// Candidates that some units cannot have.
  private(set) var notes: [String] = []
  let style: PackageStyle
  let method: WeightMethod

  /// Throws ``ErrorCode/usage`` for a word that names nothing, and for patterns that match nothing or a part of a unit;
  /// ``ErrorCode/unsupportedFeature`` when a unit can have no candidate.
  init(
    _ options: QuantizationOptions, _ words: [String], _ units: [LinearUnit], _ weights: TensorStore
  ) throws {
    style = try PackageStyle(options)
    guard let method = WeightMethod(options.method) else {
      let names = WeightMethod.names.joined(separator: ", ")
      throw BessemerError(.usage, "no method \(quoted(options.method)); expected one of \(names)")
    }
    self.method = method
    let usual = try words.map(CandidateFinder.named)
    for pattern in options.overrides.map(\.pattern) + options.keep
    where try !units.contains(where: { try CandidateFinder.count($0, pattern) > 0 }) {
      throw BessemerError(.usage, "\(quoted(pattern.text)) matches no linear layer")
    }
    var problems: [String: (count: Int, text: String)] = [:]
    for unit in units {
      var one = PlanUnit(unit)
      let said = try CandidateFinder.said(unit, options)
      let candidates = try said.map { [try CandidateFinder.named($0)] } ?? (unit.isQuantizedByDefault ? usual : [])
      for (name, scheme) in candidates {
        if let scheme, let problem = try PlanUnit.problem(scheme, unit.layers, weights, style, method) {
          problems[name, default: (0, "\(quoted(one.name)): \(problem)")].count += 1
        } else {
          one.candidates.append(try PlanUnit.candidate(name, scheme, unit.layers, weights, style))
        }
      }
      if candidates.isEmpty {
        one.candidates = [try PlanUnit.candidate(QuantizationPlan.float, nil, unit.layers, weights, style)]
      }
      guard !one.candidates.isEmpty else {
        throw BessemerError(
          .unsupportedFeature,
          "\(quoted(one.name)) can have none of \(candidates.map(\.0).joined(separator: ", ")); "
            + "add float to the candidates to keep it", details: problems.map { "\($0.key): \($0.value.text)" })
      }
      self.units.append(one)
    }
    notes = problems.sorted { $0.key < $1.key }.map { name, problem in
      "\(name) is no candidate for \(problem.count) of \(units.count) groups of layers; \(problem.text)"
    }
  }

  private static func named(_ word: String) throws -> (String, (any LinearScheme)?) {
    if word == QuantizationPlan.float { return (word, nil) }
    let scheme = try QuantizationRecipe.scheme(word)
    return (scheme.name, scheme)
  }

  /// The scheme that is said for a unit; nil where it is chosen.
  private static func said(_ unit: LinearUnit, _ options: QuantizationOptions) throws -> String? {
    func matches(_ pattern: NamePattern) throws -> Bool {
      let count = try count(unit, pattern)
      guard count == 0 || count == unit.layers.count else {
        let names = unit.layers.map(\.module).prefix(8).joined(separator: ", ")
        throw BessemerError(
          .usage,
          "\(quoted(pattern.text)) matches \(count) of the \(unit.layers.count) layers that go together: \(names)")
      }
      return count > 0
    }
    if try options.keep.contains(where: matches) { return QuantizationPlan.float }
    return try options.overrides.last { try matches($0.pattern) }?.scheme
  }

  private static func count(_ unit: LinearUnit, _ pattern: NamePattern) throws -> Int {
    try unit.layers.count { try pattern.matches($0.module) || pattern.matches($0.weight.string) }
  }
}
