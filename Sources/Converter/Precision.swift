import IR
public import Tensors

extension LoadedModel {
  /// The least precise type in which this model and `other` may differ: of activations in either, and of weights when
  /// they are stored differently.
  public func precision(against other: LoadedModel) -> DType {
    var types = [coarsestActivation, other.coarsestActivation]
    let (own, others) = (coarsestWeight, other.coarsestWeight)
    if own != others { types += [own, others] }
    return types.min { $0.precisionBits < $1.precisionBits } ?? .float32
  }

  private var coarsestWeight: DType { weights.entries.map(\.dtype).coarsest }

  private var coarsestActivation: DType {
    let reader = ParameterReader(graph, weights: weights)
    let results = graph.nodeIDs.flatMap { graph[$0].results }.filter { !reader.isParameter($0) }
    // What is read from a table is as the table is stored, and widened at once.
    return results.filter { graph.producer(of: $0, as: Gather.self) == nil }.map { graph.type(of: $0).dtype }.coarsest
  }
}

extension [DType] {
  fileprivate var coarsest: DType { filter(\.isFloat).min { $0.precisionBits < $1.precisionBits } ?? .float32 }
}

extension DType {
  /// Bits of the significand, the leading one included.
  fileprivate var precisionBits: Int {
    switch self {
    case .float64: 53
    case .float32: 24
    case .float16: 11
    case .bfloat16: 8
    default: 3
    }
  }
}
