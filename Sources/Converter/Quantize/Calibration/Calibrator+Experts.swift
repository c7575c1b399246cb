import IR
import Quantization
import Tensors

/// Steps that look at what matrices of experts read.
extension Calibrator {
  /// Finds the grids and the codes of matrices of experts, on a run's way through a section.
  ///
  /// - Parameter chosen: the matrices, with the step that quantizes each.
  func observeExperts(
    _ chosen: [(site: LinearSite, step: QuantizationRecipe.Linear)], _ watch: inout RoutedExperts.Watch
  ) -> ExpertFindings {
    let findings = ExpertFindings()
    let steps = Dictionary(chosen.map { ($0.site.layer.weight, $0.step) }, uniquingKeysWith: { first, _ in first })
    guard !steps.isEmpty else { return findings }
    let (current, others, threads) = (weights, watch, threads)
    watch.weight = { site in
      guard let step = steps[site.layer.weight] else { return try others.weight(site) }
      guard !step.method.needsData, let weight = try current[site.layer.weight]?.tensor() else { return nil }
      return try RoundTrip.weight(
        weight, module: site.layer.module, step.scheme, step.isV0 ? step.method : .minmax)
    }
    watch.read = { site, tokens in
      guard let step = steps[site.layer.weight] else { return try others.read(site, tokens) }
      let found = findings.observations(of: site)
      let place = RoundedValue(value: site.input, rounding: 0)
      let rounded = try found.round(place, tokens, step)
      if step.method.needsData { try found.observe(site.input, rounded, threads) }
      return rounded
    }
    watch.showsIdle = true
    watch.finish = { layers, tokens in
      for site in layers {
        if let step = steps[site.layer.weight] { try settle(site, step, findings, tokens: tokens) }
      }
    }
    return findings
  }

  /// Sees how large the channels are that some matrices of experts read.
  ///
  /// - Parameters:
  ///   - keepsInputs: whether ``ExpertFindings/inputs`` are kept.
  ///   - showsIdle: see ``RoutedExperts/Watch``.
  func observeExperts(
    _ chosen: Set<TensorName>, keepsRows: Bool = false, keepsInputs: Bool, showsIdle: Bool = true,
    _ watch: inout RoutedExperts.Watch
  ) -> ExpertFindings {
    let findings = ExpertFindings()
    guard !chosen.isEmpty else { return findings }
    let others = watch
    watch.read = { site, tokens in
      let name = site.layer.weight
      if chosen.contains(name) {
        try findings.sizes[name, default: ChannelSizes(keepsRows: keepsRows)].observe(tokens)
        if keepsInputs { findings.inputs[name, default: []].append(tokens) }
      }
      return try others.read(site, tokens)
    }
    watch.showsIdle = showsIdle
    watch.finish = { layers, tokens in for site in layers { findings.counts[site.layer.weight] = tokens } }
    return findings
  }

  /// What follows from what a matrix of an expert reads; of saved statistics where nothing was run.
  func settle(
    _ site: LinearSite, _ step: QuantizationRecipe.Linear, _ findings: ExpertFindings, tokens: Int?
  ) throws {
    let (module, number) = (site.layer.module, number(of: site.layer))
    if try isIdle(site.layer, number, tokens: tokens) { findings.note(site.layer) }
    let found = findings.take(site)
    if step.scheme.needsInputGrid {
      let place = RoundedValue(value: site.input, rounding: 0)
      findings.grids[module] = try settled(found?.observers[place]?.grid, site.layer, number)
    }
    guard step.method.needsData, let moments = try settled(found?.inputs[site.input], site.layer, number),
      let weight = try weights[site.layer.weight]?.tensor()
    else { return }
    findings.codes[module] = try CodeSolver(step.method, moments, module: module, threads).codes(
      weight, module: module, step.scheme)
  }

  /// Whether no token goes to a layer's expert; saved statistics know where nothing was run.
  func isIdle(_ layer: LinearLayer, _ number: Int, tokens: Int?) throws -> Bool {
    try settled(tokens.map { TokenCount($0) }, layer, number)?.count == 0
  }

  /// Scales for what an expert's layer reads, by what it makes of it.
  func search(
    _ awq: AWQ, _ layer: LinearLayer, _ inputs: [Tensor], mean: [Float], _ scheme: any LinearScheme,
    _ method: WeightMethod
  ) throws -> [Float] {
    let dtype = try weights.dtype(of: layer.weight)
    let matrix = try weights.matrix(layer.weight)
    let shape = [matrix.rows, matrix.columns]
    let tokens = try inputs.map { try Matrix($0) }
    let exact = try tokens.map { try $0.times(transposed: matrix, threads) }
    return try awq.search(mean: mean, dtype: dtype) { scales in
      let scaled = try matrix.scalingColumns(scales).tensor(dtype, shape: shape)
      let rounded = try Matrix(RoundTrip.weight(scaled, module: layer.module, scheme, method))
        .dividingColumns(by: scales)
      var sum = 0.0
      for (input, expected) in zip(tokens, exact) {
        let made = try input.times(transposed: rounded, threads)
        for (a, b) in zip(made.values, expected.values) { sum += Double(a - b) * Double(a - b) }
      }
      return sum
    }
  }
}

/// What is found out about matrices of experts while sequences run.
final class ExpertFindings {
  private var open: [TensorName: Observations] = [:]
  /// By module.
  var grids: [String: InputGrid] = [:]
  var codes: [String: StoredCodes] = [:]
  /// What layers read of each sequence, where it is kept.
  var inputs: [TensorName: [Tensor]] = [:]
  var sizes: [TensorName: ChannelSizes] = [:]
  var counts: [TensorName: Int] = [:]
  var notes: [String] = []

  /// Says that all tokens of a layer stand for those of an expert.
  func note(_ layer: LinearLayer) {
    let name = layer.module.split(separator: ".").dropLast().joined(separator: ".")
    let note = "no token of the calibration data goes to \(quoted(name)); all tokens of its layer stand for them"
    if !notes.contains(note) { notes.append(note) }
  }

  func observations(of site: LinearSite) -> Observations {
    if let known = open[site.layer.weight] { return known }
    let new = Observations()
    open[site.layer.weight] = new
    return new
  }

  /// Those of a matrix, which are then forgotten.
  func take(_ site: LinearSite) -> Observations? { open.removeValue(forKey: site.layer.weight) }
}
