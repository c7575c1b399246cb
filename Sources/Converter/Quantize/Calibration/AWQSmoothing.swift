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

  func search(
    _ moments: SecondMoments, _ dtype: DType, gains: [Float]?, _ threads: KernelThreads
  ) throws -> AWQSearch {
    let loss = try OutputLoss(moments, threads, gradients: awq.cuts && rounding.scheme.groupSize > 0)
    return AWQSearch(awq, rounding, loss, dtype: dtype, gains: gains)
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
  /// Chooses and applies the scales of a subgraph, and the ranges of its readers.
  mutating func smooth(
    _ subgraph: Subgraph, _ own: AWQSmoothing, mean: [Float], _ moments: SecondMoments
  ) throws {
    let readers = subgraph.readers.filter(\.isQuantizedByDefault)
    guard let first = readers.first else { return }
    let dtype = try weights.dtype(of: first.weight)
    let gains = subgraph.kind == .normLinear ? try weights.matrix(subgraph.sourceWeight).values : nil
    let search = try own.search(moments, dtype, gains: gains, threads)
    let matrices = try readers.map { try weights.matrix($0.weight) }
    let scales = try search.scales(mean: mean, weights: matrices) { scales in
      try subgraph.heads.map { try SharedHeads.mean(scales, $0, dtype) }
        ?? SmoothingScales(read: scales, source: scales)
    }
    try apply(scales, to: subgraph)
    for (reader, matrix) in zip(readers, matrices) where isCut(reader, own) {
      try weights.set(reader.weight, search.fitted(matrix, scales.read))
    }
  }

  /// Chooses the ranges of a layer.
  mutating func cut(_ layer: LinearLayer, _ own: AWQSmoothing, _ moments: SecondMoments) throws {
    guard isCut(layer, own) else { return }
    let (matrix, dtype) = (try weights.matrix(layer.weight), try weights.dtype(of: layer.weight))
    let search = try own.search(moments, dtype, gains: nil, threads)
    try weights.set(layer.weight, search.fitted(matrix, [Float](repeating: 1, count: matrix.columns)))
  }

  /// Whether a layer is going to be rounded as the search rounds it.
  private func isCut(_ layer: LinearLayer, _ own: AWQSmoothing) -> Bool {
    own.awq.cuts && step(of: layer).map { $0.scheme.name == own.rounding.scheme.name } ?? false
  }
}
