import Quantization
import Tensors

extension QuantizationRecipe {
  /// What decides which statistics calibration finds, a step a line: all steps before the last that looks at data, and
  /// of that one what it looks at. What is done with its statistics, and what comes after it, may differ.
  func observed(isCompatible: Bool) -> [String] {
    guard let last = steps.lastIndex(where: \.needsData) else { return [] }
    var lines = steps.compactMap { step -> String? in
      if case .rotate(let rotation) = step { "rotate \(rotation)" } else { nil }
    }
    // Steps of old recipes are carried out together.
    let isV0 = steps.contains(where: \.isV0)
    for (number, step) in steps.enumerated() where isV0 || number <= last {
      switch step {
      case .rotate: continue
      case .smooth(let smoothing):
        guard isV0 || number < last else {
          lines.append("smooth")
          continue
        }
        let readers = smoothing.readers.map { $0.sorted().joined(separator: " ") } ?? "all"
        var line = "smooth \(smoothing.algorithm), \(smoothing.kinds), readers \(readers), \(smoothing.selection.text)"
        if let v0 = smoothing.v0 {
          line += ", \(v0.shifts), without \(v0.excludedReaders.sorted().joined(separator: " "))"
        }
        lines.append(line)
      case .quantize(let linear):
        // While the layers of the last step are looked at, they run rounded to nearest, or not rounded.
        let method = isV0 || number < last ? "\(linear.method)" : linear.method.needsData ? "any" : "none"
        lines.append(
          "quantize \(linear.scheme.name) by \(method), inputs \(linear.input) "
            + "\(linear.isInputSymmetric ? "symmetric" : "asymmetric"), "
            + "\(linear.takesAll ? "heads too" : "projections"), \(linear.selection.text)")
      case .smoothKeys(let selection, let power): lines.append("smooth keys \(power), \(selection.text)")
      case .quantizeCache(let cache): lines.append("cache \(cache.isSymmetric), \(cache.selection.text)")
      case .sparsify(let selection, let share): lines.append("sparsify \(share), \(selection.text)")
      case .quantizeAttention(let attention):
        let formats = attention.formats.map { "\($0.key) \($0.value)" }.sorted().joined(separator: " ")
        lines.append("attention \(formats), \(attention.selection.text)")
      }
    }
    return lines + (isCompatible ? ["compat msmodelslim"] : []) + (isV0 ? ["together"] : [])
  }
}

extension QuantizationRecipe.Step {
  var needsData: Bool {
    switch self {
    case .quantize(let linear): linear.needsData
    case .smooth, .smoothKeys, .sparsify, .quantizeCache: true
    case .quantizeAttention(let attention): attention.formats.values.contains { $0.needsRange }
    case .rotate(let rotation): rotation.search != nil
    }
  }

  /// Whether layers are looked at as they are quantized.
  var needsDataToQuantize: Bool { if case .quantize(let linear) = self { linear.needsData } else { false } }

  fileprivate var isV0: Bool {
    switch self {
    case .quantize(let linear): linear.isV0
    case .smooth(let smoothing): smoothing.v0 != nil
    case .quantizeCache(let cache): cache.isV0
    case .quantizeAttention, .smoothKeys, .sparsify, .rotate: false
    }
  }

  /// Whether statistics do not suffice: the step runs parts of the model to choose.
  func runsModel(isCompatible: Bool) -> Bool {
    switch self {
    case .smooth(let smoothing): if case .awq = smoothing.algorithm { isCompatible } else { false }
    case .rotate(let rotation): rotation.search != nil
    default: false
    }
  }
}

extension QuantizationRecipe.Selection {
  fileprivate var text: String {
    let included = include.map { $0.map(\.text).joined(separator: " ") } ?? "all"
    let names = modules.map { " of " + $0.sorted().joined(separator: " ") } ?? ""
    return "\(included)\(names) but \(exclude.map(\.text).joined(separator: " "))"
  }
}
