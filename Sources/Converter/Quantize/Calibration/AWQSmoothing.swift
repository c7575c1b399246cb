import IR
import Quantization
import Tensors

extension Calibrator {
  /// Scales and ranges by what rounding costs the outputs of layers, see the searches of ``AWQ``: first of subgraphs,
  /// sources last, so that what is lost of a row counts before it is divided; then of layers in no subgraph the ranges
  /// alone. False when the section has none, and nothing was run.
  mutating func smooth(
    _ awq: AWQ, _ rounding: WeightRounding, _ subgraphs: [Subgraph], _ selection: QuantizationRecipe.Selection,
    _ section: Range<Int>, _ run: inout CalibrationRun?
  ) throws -> Bool {
    let known = Set(subgraphs.flatMap(\.readers).map(\.weight))
    let others = try sites(in: section).filter { site in
      try awq.cuts && site.expertPart == nil && site.layer.role == .projection && !known.contains(site.layer.weight)
        && selection.contains(site.layer.module)
    }
    guard !subgraphs.isEmpty || !others.isEmpty else { return false }
    let (found, threads) = (Observations(), threads)
    var watch = try watch(section)
    watch.observed = Set(subgraphs.map(\.value) + others.map(\.input))
    watch.observe = { value, tensor in
      try found.sizes[value, default: ChannelSizes(keepsRows: false)].observe(tensor)
      let rows = try Matrix(tensor)
      try found.moments[value, default: SecondMoments(inputs: rows.columns)].observe(rows, threads)
    }
    try run?.run(section, weights, watch)
    for subgraph in subgraphs.reversed() {
      guard let size = found.sizes[subgraph.value], let moments = found.moments[subgraph.value] else { continue }
      let loss = try scale(subgraph, awq, rounding, mean: size.mean, OutputLoss(moments, threads))
      for reader in subgraph.readers where awq.cuts { try cut(reader, awq, rounding, loss) }
    }
    for (input, sites) in Dictionary(grouping: others, by: \.input) {
      guard let moments = found.moments[input] else { continue }
      let loss = try OutputLoss(moments, threads)
      for site in sites { try cut(site.layer, awq, rounding, loss) }
    }
    return true
  }

  /// Applies the scales of a subgraph, and returns the loss for the inputs that are left.
  private mutating func scale(
    _ subgraph: Subgraph, _ awq: AWQ, _ rounding: WeightRounding, mean: [Float], _ loss: OutputLoss
  ) throws -> OutputLoss {
    let dtype = try weights.dtype(of: subgraph.readers[0].weight)
    let matrices = try subgraph.readers.map { try weights.matrix($0.weight) }
    let gains = subgraph.kind == .normLinear ? try weights.matrix(subgraph.sourceWeight).values : nil
    let scales = try awq.search(mean: mean, weights: matrices, gains: gains, dtype: dtype, rounding, loss) { scales in
      try subgraph.heads.map { try SharedHeads.mean(scales, $0, dtype) }
        ?? SmoothingScales(read: scales, source: scales)
    }
    try apply(scales, to: subgraph)
    return try loss.scaled(by: AWQ.divisors(scales.read, gains: gains, dtype))
  }

  private mutating func cut(
    _ layer: LinearLayer, _ awq: AWQ, _ rounding: WeightRounding, _ loss: OutputLoss
  ) throws {
    let (matrix, dtype) = (try weights.matrix(layer.weight), try weights.dtype(of: layer.weight))
    try weights.set(layer.weight, awq.clipped(matrix, dtype: dtype, rounding, loss))
  }
}
