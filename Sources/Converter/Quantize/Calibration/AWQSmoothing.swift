import IR
import Quantization
import Tensors

/// AWQ whose scales and ranges are chosen by what rounding costs the outputs of layers, see the searches of ``AWQ``.
struct AWQSmoothing {
  let awq: AWQ
  let rounding: WeightRounding

  /// Nil for other algorithms, and where AWQ is to be msModelSlim's.
  init?(_ step: QuantizationRecipe.Smoothing, isCompatible: Bool) {
    guard case .awq(let awq, let scheme, let method) = step.algorithm, !isCompatible else { return nil }
    self.awq = awq
    rounding = WeightRounding(scheme, method)
  }

  /// The layers in no subgraph, whose ranges alone are chosen.
  func others(
    _ sites: [LinearSite], _ subgraphs: [Subgraph], _ selection: QuantizationRecipe.Selection
  ) throws -> [LinearSite] {
    guard awq.cuts else { return [] }
    let known = Set(subgraphs.flatMap(\.readers).map(\.weight))
    return try sites.filter { site in
      try site.layer.role == .projection && !known.contains(site.layer.weight)
        && selection.contains(site.layer.module)
    }
  }
}

extension SecondMoments {
  /// Those of inputs of one width; nil without any.
  init?(of inputs: [Tensor], _ threads: KernelThreads) throws {
    guard let first = inputs.first else { return nil }
    self.init(inputs: first.shape[first.shape.count - 1])
    for input in inputs { try observe(Matrix(input), threads) }
  }
}

extension Calibrator {
  /// Chooses and applies the scales of a subgraph, and then the ranges of its readers.
  mutating func smooth(
    _ subgraph: Subgraph, _ search: AWQSmoothing, mean: [Float], _ moments: SecondMoments
  ) throws {
    let readers = subgraph.readers.filter(\.isQuantizedByDefault)
    guard let first = readers.first else { return }
    let loss = try OutputLoss(moments, threads)
    let dtype = try weights.dtype(of: first.weight)
    let matrices = try readers.map { try weights.matrix($0.weight) }
    let gains = subgraph.kind == .normLinear ? try weights.matrix(subgraph.sourceWeight).values : nil
    let scales = try search.awq.search(
      mean: mean, weights: matrices, gains: gains, dtype: dtype, search.rounding, loss
    ) { scales in
      try subgraph.heads.map { try SharedHeads.mean(scales, $0, dtype) }
        ?? SmoothingScales(read: scales, source: scales)
    }
    try apply(scales, to: subgraph)
    guard search.awq.cuts else { return }
    let left = try loss.scaled(by: AWQ.divisors(scales.read, gains: gains, dtype))
    for reader in readers { try cut(reader, search, left) }
  }

  /// Chooses the ranges of a layer.
  mutating func cut(_ layer: LinearLayer, _ search: AWQSmoothing, _ loss: OutputLoss) throws {
    let (matrix, dtype) = (try weights.matrix(layer.weight), try weights.dtype(of: layer.weight))
    try weights.set(layer.weight, search.awq.clipped(matrix, dtype: dtype, search.rounding, loss))
  }
}
