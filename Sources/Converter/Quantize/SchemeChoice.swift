import Quantization
import Tensors

/// Which step of a recipe quantizes each linear layer of a model: the first that takes it.
struct SchemeChoice {
  /// By module, the number of the step.
  private(set) var steps: [String: Int] = [:]
  private var chosen: [TensorName: (layer: LinearLayer, step: QuantizationRecipe.Linear)] = [:]
  private var biases: Set<TensorName> = []
  private let isCompatible: Bool
  private let style: PackageStyle
  /// Linear layers that keep their values.
  private(set) var keptModules: [String] = []
  /// Whether codes that the model has already may stay.
  private let keepsCodes: Bool

  /// Throws ``ErrorCode/unsupportedFeature`` with all layers that their scheme cannot store.
  init(
    _ recipe: QuantizationRecipe, layers: [LinearLayer], weights: TensorStore, isCompatible: Bool = false,
    style: PackageStyle = .ascendV1
  ) throws {
    self.isCompatible = isCompatible
    self.style = style
    keepsCodes = !recipe.editsWeights
    var problems: [String] = []
    for layer in layers {
      guard let entry = weights[layer.weight], let (number, step) = try SchemeChoice.step(recipe, for: layer) else {
        keptModules.append(layer.module)
        continue
      }
      let weight = try LinearWeight(module: layer.module, entry.dtype, shape: entry.shape)
      if let problem = step.scheme.problem(weight) {
        problems.append("\(quoted(layer.module)): \(step.scheme.name) cannot store \(problem)")
      } else if style.stored(step.scheme) == nil {
        problems.append("\(quoted(layer.module)): a package for \(style.rawValue) does not store \(step.scheme.name)")
      } else if !step.method.suits(step.scheme.grid) {
        problems.append("\(quoted(layer.module)): codes of \(step.scheme.name) are not found by that method")
      }
      chosen[layer.weight] = (layer, step)
      steps[layer.module] = number
      biases.insert(TensorName(layer.module + ".bias"))
    }
    guard let first = problems.first else { return }
    let others = problems.count > 1 ? " and \(problems.count - 1) more" : ""
    throw BessemerError(
      .unsupportedFeature, "\(first)\(others); leave layers out with --keep or give them another scheme",
      details: problems)
  }

  private static func step(
    _ recipe: QuantizationRecipe, for layer: LinearLayer
  ) throws -> (Int, QuantizationRecipe.Linear)? {
    for (number, step) in recipe.steps.enumerated() {
      guard case .quantize(let linear) = step,
        linear.takesAll || layer.isQuantizedByDefault || linear.takesRouters && layer.role == .router,
        try linear.selection.contains(layer)
      else { continue }
      return (number, linear)
    }
    return nil
  }

  /// Whether a tensor goes with the weight of a quantized layer.
  func isBias(_ name: TensorName) -> Bool { biases.contains(name) }

  func part(_ entry: TensorStore.Entry, of weights: TensorStore) throws -> QuantizedPart {
    guard let (layer, step) = chosen[entry.name] else { return QuantizedPart(entry) }
    let weight = try LinearWeight(module: layer.module, entry.dtype, shape: entry.shape)
    let scheme = style.stored(step.scheme) ?? step.scheme
    return try QuantizedPart(
      entry, weight, isCompatible ? scheme.original() : scheme,
      bias: weights[TensorName(layer.module + ".bias")], method: step.method, keepsCodes: keepsCodes,
      keepsBias: style.keepsBias)
  }
}

extension QuantizationRecipe.Selection {
  /// Patterns are for names of modules, or of their weights.
  func contains(_ layer: LinearLayer) throws -> Bool {
    func matches(_ pattern: NamePattern) throws -> Bool {
      try pattern.matches(layer.module) || pattern.matches(layer.weight.string)
    }
    if try modules?.contains(layer.module) == false || exclude.contains(where: matches) { return false }
    return try include?.contains(where: matches) ?? true
  }
}
