import Quantization
import Tensors

/// Linear layers that share a scheme, with what each candidate comes to.
struct PlanUnit {
  /// A way to store the layers.
  struct Candidate {
    /// The scheme's name, or `float`.
    let name: String
    let scheme: (any LinearScheme)?
    /// Bytes of everything that stands for the layers.
    let byteCount: Int
    /// Bytes that the tensors' names and places take in a file at most.
    let headerByteCount: Int
    /// As it is expected from rows of the weights, the mean over the layers.
    var error = 0.0
    /// As it was measured.
    var divergence: Double?
  }

  /// None of a tensor by itself.
  let layers: [LinearLayer]
  /// Of the layers, or of a tensor.
  let names: [String]
  var candidates: [Candidate]
  /// How many layers every token goes to: of experts, one for each of gate, up and down.
  let weight: Double

  init(_ unit: LinearUnit) {
    layers = unit.layers
    names = layers.map(\.module)
    candidates = []
    weight = Double(unit.isExperts ? min(3, unit.layers.count) : unit.layers.count)
  }

  /// A tensor by itself.
  init(named name: String) { (layers, names, candidates, weight) = ([], [name], [], 1) }

  var name: String { names.count == 1 ? names[0] : "\(names[0]) and \(names.count - 1) more" }

  /// The scheme of a candidate that vLLM-Ascend has not for such layers; nil for one that it has.
  func foreignScheme(_ number: Int) -> String? {
    guard let scheme = candidates[number].scheme, !PlanUnit.isLoaded(scheme, layers) else { return nil }
    return scheme.name
  }

  private static func isLoaded(_ scheme: any LinearScheme, _ layers: [LinearLayer]) -> Bool {
    VLLMAscendConsumer.hasScheme(scheme.descriptionType, isExpert: layers[0].role == .expert)
  }

  /// What keeps the layers from having a scheme; nil when nothing does.
  static func problem(
    _ scheme: any LinearScheme, _ layers: [LinearLayer], _ weights: TensorStore, _ style: PackageStyle,
    _ method: WeightMethod
  ) throws -> String? {
    guard style.stored(scheme) != nil else { return "packages for \(style.rawValue) do not store it" }
    guard method.suits(scheme.grid) else { return "the method finds no codes of it" }
    if style == .vllmAscend, !isLoaded(scheme, layers) { return "vLLM-Ascend has it not for such layers" }
    for layer in layers {
      guard let entry = weights[layer.weight] else { continue }
      let weight = try LinearWeight(module: layer.module, entry.dtype, shape: entry.shape)
      if let problem = scheme.problem(weight) { return problem }
    }
    return nil
  }

  /// The layers stored by a scheme, or as they are.
  static func candidate(
    _ name: String, _ scheme: (any LinearScheme)?, _ layers: [LinearLayer], _ weights: TensorStore,
    _ style: PackageStyle
  ) throws -> Candidate {
    var package = AscendV1(style)
    for layer in layers {
      guard let entry = weights[layer.weight] else { continue }
      let bias = weights[TensorName(layer.module + ".bias")]
      if let scheme, let stored = style.stored(scheme) {
        let weight = try LinearWeight(module: layer.module, entry.dtype, shape: entry.shape)
        package.add(weight, stored, hasBias: bias != nil)
      } else {
        for entry in [entry, bias].compactMap({ $0 }) { package.add(entry.name, entry.dtype, shape: entry.shape) }
      }
    }
    return Candidate(
      name: name, scheme: scheme, byteCount: package.byteCount, headerByteCount: package.headerByteCount)
  }
}

extension AscendV1 {
  /// Bytes of all tensors.
  var byteCount: Int { items.reduce(0) { $0 + (Tensor.byteCount($1.dtype, shape: $1.shape) ?? 0) } }

  /// Bytes that names, types, shapes and places take in a file at most.
  var headerByteCount: Int { items.reduce(0) { $0 + $1.name.string.utf8.count * 6 + 96 + 20 * $1.shape.count } }
}
