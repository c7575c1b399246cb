import Quantization
import Tensors

/// Which scheme each linear layer of a model gets.
struct SchemeChoice {
  private var chosen: [TensorName: (layer: LinearLayer, scheme: any LinearScheme)] = [:]
  private var biases: Set<TensorName> = []
  private let method: WeightMethod

  /// Throws ``ErrorCode/usage`` for an unknown scheme and for a pattern that matches no layer, and
  /// ``ErrorCode/unsupportedFeature`` with all layers that their scheme cannot store.
  init(_ options: QuantizationOptions, layers: [LinearLayer], weights: TensorStore) throws {
    guard let method = WeightMethod(options.method) else {
      let names = WeightMethod.names.joined(separator: ", ")
      throw BessemerError(.usage, "no method \(quoted(options.method)); expected one of \(names)")
    }
    self.method = method
    let general = try SchemeChoice.scheme(options.scheme)
    let overrides = try options.overrides.map { ($0.pattern, try SchemeChoice.scheme($0.scheme)) }
    for pattern in overrides.map(\.0) + options.keep
    where try !layers.contains(where: { try pattern.matches($0.module) || pattern.matches($0.weight.string) }) {
      throw BessemerError(.usage, "\(quoted(pattern.text)) matches none of the \(layers.count) linear layers")
    }
    var problems: [String] = []
    for layer in layers {
      func matches(_ pattern: NamePattern) throws -> Bool {
        try pattern.matches(layer.module) || pattern.matches(layer.weight.string)
      }
      let own = try overrides.last { try matches($0.0) }?.1
      guard own != nil || layer.isQuantizedByDefault, try !options.keep.contains(where: matches) else { continue }
      guard let entry = weights[layer.weight] else { continue }
      let scheme = own ?? general
      let weight = try LinearWeight(module: layer.module, entry.dtype, shape: entry.shape)
      if let problem = scheme.problem(weight) {
        problems.append("\(quoted(layer.module)): \(scheme.name) cannot store \(problem)")
      } else if !method.suits(scheme.grid) {
        problems.append("\(quoted(layer.module)): codes of \(scheme.name) are not found by \(options.method)")
      } else if scheme.needsInputGrid {
        problems.append("\(quoted(layer.module)): \(scheme.name) needs calibration data")
      }
      chosen[layer.weight] = (layer, scheme)
      biases.insert(TensorName(layer.module + ".bias"))
    }
    guard let first = problems.first else { return }
    let others = problems.count > 1 ? " and \(problems.count - 1) more" : ""
    throw BessemerError(
      .unsupportedFeature, "\(first)\(others); leave layers out with --keep or give them another scheme",
      details: problems)
  }

  /// Whether a tensor goes with the weight of a quantized layer.
  func isBias(_ name: TensorName) -> Bool { biases.contains(name) }

  func part(_ entry: TensorStore.Entry, of weights: TensorStore) throws -> QuantizedPart {
    guard let (layer, scheme) = chosen[entry.name] else { return QuantizedPart(entry) }
    let weight = try LinearWeight(module: layer.module, entry.dtype, shape: entry.shape)
    return try QuantizedPart(entry, weight, scheme, bias: weights[TensorName(layer.module + ".bias")], method: method)
  }

  private static func scheme(_ word: String) throws -> any LinearScheme {
    if let scheme = LinearSchemes.scheme(word) { return scheme }
    let names = LinearSchemes.all.map { $0.name }.joined(separator: ", ")
    throw BessemerError(.usage, "no scheme \(quoted(word)); expected one of \(names)")
  }
}
