import IR
import Quantization
import Tensors

/// Steps that scale channels between weights.
extension Calibrator {
  /// False when nothing in the section is smoothed, and nothing was run.
  mutating func smooth(
    _ step: QuantizationRecipe.Smoothing, _ number: Int, _ section: Range<Int>, _ run: inout CalibrationRun?
  ) throws -> Bool {
    let here = Set(sites(in: section).map(\.layer.weight))
    var chosen = try step.kinds.flatMap { kind in
      try subgraphs.filter { subgraph in
        try subgraph.kind == kind && subgraph.readers.allSatisfy { here.contains($0.weight) } && step.takes(subgraph)
      }
    }
    let own = AWQSmoothing(step, isCompatible: isCompatible)
    // Sources last: what is lost of a row counts before it is divided.
    if own != nil { chosen.reverse() }
    let others = try own?.others(sites(in: section), chosen, step.selection) ?? []
    guard !chosen.isEmpty || !others.isEmpty else { return false }
    let begin = run
    let found = Observations()
    let keepsRows = if case .scales(let algorithm) = step.algorithm { algorithm.needsTokens } else { false }
    let deployed = try watch(section)
    var watch = deployed
    let plain = Set(chosen.filter { !$0.isInExpert }.map(\.value))
    let known = plain.union(others.map(\.input))
    watch.observed = known
    let threads = threads
    watch.observe = { value, tensor in
      guard known.contains(value) else { return }
      if own != nil { try found.observe(value, tensor, threads) }
      try found.sizes[value, default: ChannelSizes(keepsRows: keepsRows)].observe(tensor)
    }
    let inExperts = Set(chosen.filter(\.isInExpert).map { $0.readers[0].weight })
    let keepsInputs = if case .awq = step.algorithm { true } else { false }
    let findings = observeExperts(
      inExperts, keepsRows: keepsRows, keepsInputs: keepsInputs, showsIdle: !isCompatible,
      &watch.experts)
    let current = weights
    if step.v0 == nil {
      try run?.run(section, current, watch)
    } else {
      var plain = originalRun
      watch.replacing = [:]
      watch.experts.weight = { _ in nil }
      try plain?.run(section, PreparedWeights(weights.base), watch)
    }
    for subgraph in chosen {
      var inner: [Tensor] = []
      var (size, moments) = (found.sizes[subgraph.value], found.inputs[subgraph.value])
      if subgraph.isInExpert {
        let weight = subgraph.readers[0].weight
        if try isIdle(subgraph.readers[0], number, tokens: findings.counts[weight]) {
          // msModelSlim leaves such an expert as it is.
          guard !isCompatible else { continue }
          findings.note(subgraph.readers[0])
        }
        inner = findings.inputs[weight] ?? []
        size = findings.sizes[weight]
        if own != nil { moments = try SecondMoments(of: inner, threads) }
      }
      let reader = subgraph.isInExpert ? subgraph.readers[0] : reader(of: subgraph.value)
      guard let size = try settled(size, reader, number, keepsRows: keepsRows), !size.isEmpty else { continue }
      if let own {
        guard let moments = try settled(moments, reader, number) else { continue }
        try smooth(subgraph, own, mean: size.mean, moments)
        continue
      }
      let scales: SmoothingScales?
      switch step.algorithm {
      case .scales(let algorithm):
        let input = SmoothingInput(
          kind: subgraph.kind, heads: subgraph.heads, dtype: try weights.dtype(of: subgraph.sourceWeight),
          weights: try subgraph.readers.map { try weights.matrix($0.weight) }, largest: size.largest, mean: size.mean,
          tokens: size.tokens)
        scales = try algorithm.scales(input, threads)
      case .awq(let awq, let scheme, let method) where subgraph.isInExpert:
        let found = try search(awq, subgraph.readers[0], inner, mean: size.mean, scheme, method)
        scales = SmoothingScales(read: found, source: found)
      case .awq(let awq, let scheme, let method):
        let trial = try AWQTrial(graph, subgraph, sites, weights, before: current, begin, section, deployed)
        let found = try trial.search(awq, mean: size.mean, scheme, method)
        // msModelSlim scales the readers and then fails at a source with fewer rows, as of shared heads.
        let isShared = subgraph.heads.map { $0.query != $0.keyValue } ?? false
        scales = SmoothingScales(read: found, source: isShared ? [] : found)
      }
      guard let scales else { continue }
      if let v0 = step.v0 {
        try apply(scales, to: subgraph, middles: v0.shifts ? size : nil)
      } else {
        try apply(scales, to: subgraph)
      }
    }
    add(findings.notes)
    for site in others {
      guard let own, let moments = try settled(found.inputs[site.input], reader(of: site.input), number) else {
        continue
      }
      try cut(site.layer, own, moments)
    }
    return step.v0 == nil
  }

  /// The first layer that reads a value that layers read.
  func reader(of value: ValueID) -> LinearLayer {
    guard let reader = readers[value] else { preconditionFailure("no layer reads the value") }
    return reader
  }

  /// What was found of what a layer reads, see ``CalibrationStatistics``.
  func settled<S: Statistic>(_ found: S?, _ layer: LinearLayer, _ number: Int) throws -> S? {
    let columns = statistics.areSaved ? try weights.columns(of: layer.weight) : 0
    return try statistics.settled(found, step: number, layer.module, columns: columns)
  }

  private func settled(
    _ found: ChannelSizes?, _ layer: LinearLayer, _ number: Int, keepsRows: Bool
  ) throws -> ChannelSizes? {
    guard var size = try settled(found, layer, number) else { return nil }
    guard keepsRows else { return size }
    guard let rows = try settled(KeptRows(size.tokens, size.dtype), layer, number) else { return nil }
    size.set(rows: rows)
    return size
  }

  /// As `modelslim_v0` does it: rows are divided, and the middle of each channel's range moves from a norm's bias to
  /// those of the layers that read it.
  private mutating func apply(_ scales: SmoothingScales, to subgraph: Subgraph, middles: ChannelSizes?) throws {
    if let middles, subgraph.kind == .normLinear, let bias = subgraph.sourceBias {
      let middle = try middles.middles(weights.dtype(of: subgraph.sourceWeight))
      try weights.add(bias, middle.map { -$0 })
      for reader in subgraph.readers {
        guard let name = sites.first(where: { $0.layer.weight == reader.weight })?.bias else { continue }
        let moved = try Matrix(rows: 1, columns: middle.count, values: middle).times(
          transposed: weights.matrix(reader.weight), threads)
        try weights.add(name, moved.values.rounded(to: weights.dtype(of: name)))
      }
    }
    for reader in subgraph.readers { try weights.scaleColumns(of: reader.weight, by: scales.read) }
    for name in [subgraph.sourceWeight] + (subgraph.sourceBias.map { [$0] } ?? []) {
      try weights.divide(name, by: subgraph.rows(scales.source))
    }
  }

  mutating func apply(_ scales: SmoothingScales, to subgraph: Subgraph) throws {
    for reader in subgraph.readers { try weights.scaleColumns(of: reader.weight, by: scales.read) }
    guard !scales.source.isEmpty else { return }
    try weights.divideRows(of: subgraph.sourceWeight, by: subgraph.rows(scales.source))
    if let bias = subgraph.sourceBias { try weights.divideRows(of: bias, by: subgraph.rows(scales.source)) }
  }
}
