import IR
import Quantization
import Tensors

/// What a block computes of the calibration data when the weights that read a value are quantized, for ``AWQ``.
struct AWQTrial {
  private let graph: CalibrationGraph
  private let readers: [LinearLayer]
  private let weights: PreparedWeights
  /// The sequences where the block begins.
  private let run: CalibrationRun
  private let range: Range<Int>
  private let output: ValueID
  /// How layers that are quantized already are run.
  private let watch: CalibrationRun.Watch

  /// - Parameters:
  ///   - before: the weights that what the block reads is computed with.
  ///   - begin: the sequences at the start of the section.
  init(
    _ graph: CalibrationGraph, _ subgraph: Subgraph, _ sites: [LinearSite], _ weights: PreparedWeights,
    before: PreparedWeights, _ begin: CalibrationRun?, _ section: Range<Int>, _ watch: CalibrationRun.Watch
  ) throws {
    self.watch = watch
    guard var run = begin else { throw BessemerError(.usage, "AWQ needs calibration data") }
    self.graph = graph
    self.weights = weights
    readers = subgraph.readers
    // The block is what the readers' names have in common; it ends with the last of its layers.
    let prefix = AWQTrial.commonPrefix(subgraph.readers.map(\.module))
    let modules = Set(subgraph.readers.map(\.module))
    let block = sites.filter { site in
      site.output != nil && section.contains(graph.place(of: site.node))
        && (modules.contains(site.layer.module) || (modules.count > 1 && site.layer.module.hasPrefix(prefix)))
    }
    guard let end = block.last, let output = end.output, let first = block.first,
      let maker = graph.graph.producer(of: output)
    else { throw BessemerError(.unsupportedFeature, "AWQ finds no layers below \(quoted(prefix))") }
    self.output = output
    let start = max(section.lowerBound, graph.start(of: first.input))
    range = start..<(graph.place(of: maker) + 1)
    if start > section.lowerBound {
      try run.run(section.lowerBound..<start, before, watch)
    }
    self.run = run
  }

  func search(
    _ awq: AWQ, mean: [Float], _ scheme: any LinearScheme, _ method: WeightMethod
  ) throws -> [Float] {
    let exact = try outputs([:])
    let originals = try readers.map { (layer: $0, matrix: try weights.matrix($0.weight)) }
    let dtype = try weights.dtype(of: readers[0].weight)
    return try awq.search(mean: mean, dtype: dtype) { scales in
      var replacing: [TensorName: Tensor] = [:]
      for (layer, matrix) in originals {
        let scaled = matrix.scalingColumns(scales)
        let shape = [matrix.rows, matrix.columns]
        let rounded = try Matrix(
          RoundTrip.weight(scaled.tensor(dtype, shape: shape), module: layer.module, scheme, method))
        replacing[layer.weight] = try rounded.dividingColumns(by: scales).tensor(dtype, shape: shape)
      }
      return try meanSquare(outputs(replacing), exact)
    }
  }

  private func outputs(_ replacing: [TensorName: Tensor]) throws -> [[Float]] {
    var run = run
    let found = Collected<[Float]>()
    var watch = watch
    watch.observed = [output]
    watch.observe = { found.all.append($1.floats) }
    watch.replacing.merge(replacing) { $1 }
    try run.run(range, weights, watch)
    return found.all
  }

  private func meanSquare(_ a: [[Float]], _ b: [[Float]]) -> Double {
    var (sum, count) = (0.0, 0)
    for (x, y) in zip(a, b) {
      for (p, q) in zip(x, y) { sum += Double(p - q) * Double(p - q) }
      count += x.count
    }
    return count == 0 ? .infinity : sum / Double(count)
  }

  private static func commonPrefix(_ names: [String]) -> String {
    let parts = names.map { $0.split(separator: ".") }
    let shortest = parts.map(\.count).min() ?? 0
    var common: [Substring] = []
    for k in 0..<shortest where common.count == k && parts.allSatisfy({ $0[k] == parts[0][k] }) {
      common.append(parts[0][k])
    }
    return common.joined(separator: ".")
  }
}

/// What a closure collects.
final class Collected<Element> {
  var all: [Element] = []
}
