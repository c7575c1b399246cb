public import Digests
internal import Quantization
public import Tensors

/// What becomes of each linear layer of a model: written down to be looked at, changed and carried out.
public struct QuantizationPlan: Sendable {
  /// Layers with one scheme.
  public struct Unit: Sendable {
    /// Names of modules.
    public let layers: [String]
    /// The name of the scheme; `float` for layers that keep their values.
    public let scheme: String
    /// Bytes of all that stands for the layers.
    public var byteCount: Int?
    /// The error of what the layers give, expected from rows of their weights: relative, squared, the mean over them.
    public var error: Double?
    /// What the layers add to the Kullback-Leibler divergence of the model, in nats.
    public var divergence: Double?

    public init(_ layers: [String], _ scheme: String) { (self.layers, self.scheme) = (layers, scheme) }
  }

  public static let float = "float"

  /// What names, types and shapes of the model's tensors come to.
  public let source: Digest
  /// How codes are found, and what is done to weights first.
  public var options: QuantizationOptions
  public var units: [Unit]
  /// Rows of each matrix that errors were expected from.
  public var rowCount: Int?
  /// Bytes of all tensors of the package, per number of the model in bits, and the sum of the units' divergences.
  public var byteCount: Int?
  public var bitsPerWeight: Double?
  public var divergence: Double?

  public init(source: Digest, options: QuantizationOptions, units: [Unit]) {
    (self.source, self.options, self.units) = (source, options, units)
  }

  /// Modules by scheme, in the order of the first of each.
  var assignment: [(scheme: String, modules: Set<String>)] {
    var groups: [(scheme: String, modules: Set<String>)] = []
    for unit in units where unit.scheme != QuantizationPlan.float {
      if let place = groups.firstIndex(where: { $0.scheme == unit.scheme }) {
        groups[place].modules.formUnion(unit.layers)
      } else {
        groups.append((unit.scheme, Set(unit.layers)))
      }
    }
    return groups
  }

  /// Throws ``ErrorCode/plan`` when the plan is for another model, or does not name each of its layers once.
  func check(_ weights: TensorStore, _ layers: [LinearLayer]) throws {
    try check(weights, layers.map(\.module), "linear layer")
  }

  /// The same for a plan whose units are called otherwise.
  func check(_ weights: TensorStore, _ names: [String], _ kind: String) throws {
    let own = QuantizationPlan.digest(of: weights)
    guard own == source else {
      throw BessemerError(
        .plan, "is for a model whose tensors come to \(source), those of this one come to \(own)")
    }
    var rest = Set(names)
    let known = rest
    var problems: [String] = []
    for name in units.flatMap(\.layers) where rest.remove(name) == nil {
      problems.append("\(quoted(name)) is " + (known.contains(name) ? "named twice" : "no \(kind) of the model"))
    }
    problems += names.filter(rest.contains).map { "\(quoted($0)) is missing" }
    guard let first = problems.first else { return }
    let others = problems.count > 1 ? ", and \(problems.count - 1) more problems" : ""
    throw BessemerError(
      .plan, "\(first)\(others); name each \(kind) once, with the scheme float to keep it", details: problems)
  }

  /// The digest of names, types and shapes of all tensors, in the order of names; contents are not looked at.
  public static func digest(of weights: TensorStore) -> Digest {
    let hash = SHA256()
    for entry in weights.entries.sorted(by: { $0.name < $1.name }) {
      let shape = entry.shape.map(String.init).joined(separator: ",")
      let line = Array("\(entry.name.string)\u{0}\(entry.dtype.rawValue)\u{0}\(shape)\n".utf8)
      line.withUnsafeBytes { hash.update($0) }
    }
    return hash.finish()
  }
}
