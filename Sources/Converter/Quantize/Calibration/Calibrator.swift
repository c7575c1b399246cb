import IR
import Quantization
import Runtime
import Tensors

/// Carries out the steps of a recipe section by section: what a step leaves is what the next one sees.
///
/// Every step that looks at data runs the section once more on what the sections before left of the sequences, as
/// msModelSlim does; weights of one section are in memory at a time.
struct Calibrator {
  private let recipe: QuantizationRecipe
  let graph: CalibrationGraph
  private let subgraphs: [Subgraph]
  let sites: [LinearSite]
  /// By module, the number of the step that quantizes it.
  private let choice: [String: Int]
  let threads: KernelThreads
  private var run: CalibrationRun?
  /// The same through the model as it is, and as it is prepared before anything is quantized; for `modelslim_v0`.
  var originalRun: CalibrationRun?
  var preparedRun: CalibrationRun?
  var weights: PreparedWeights
  private let rotation: RotationPlan?
  let caches: [AttentionCache]
  /// By module, how the layers of the section are quantized that steps so far have dealt with.
  private var deployed: [String: QuantizationRecipe.Linear] = [:]
  /// Whether what msModelSlim does wrong is done so too.
  let isCompatible: Bool
  /// What a person should know of the calibration, a sentence each.
  var notes: [String] = []

  /// - Parameter sequences: nil when no step needs data.
  init(
    _ recipe: QuantizationRecipe, _ model: LoadedModel, choice: [String: Int], sequences: [[Int32]]?,
    isCompatible: Bool,
    threads: Int
  ) throws {
    self.isCompatible = isCompatible
    self.recipe = recipe
    self.choice = choice
    self.threads = KernelThreads(threads)
    let graph = try CalibrationGraph(model.graph)
    self.graph = graph
    subgraphs = SubgraphFinder(graph.graph).subgraphs()
    sites = LinearFinder(graph.graph).sites()
    caches = AttentionCacheFinder(graph.graph).caches(graph.cached)
    weights = PreparedWeights(model.weights)
    run = try sequences.map { try CalibrationRun(graph, $0, threads: threads) }
    for step in recipe.steps {
      switch step {
      case .smooth(let smoothing) where smoothing.v0 != nil: originalRun = run
      case .quantizeCache(let cache) where cache.isV0: preparedRun = run
      default: break
      }
    }
    var plan: RotationPlan?
    for case .rotate(let rotation) in recipe.steps {
      plan = try RotationPlan(
        rotation, graph.graph, subgraphs, model.weights, products: isCompatible ? self.threads : nil)
    }
    rotation = plan
  }

  /// Calls `write` after each section with the names of the weights that will not change any more.
  mutating func prepare(_ write: (_ weights: PreparedWeights, _ names: [TensorName]) throws -> Void) throws {
    // A weight may serve several sections, as a tied one does; it is done with the last.
    var last: [TensorName: Int] = [:]
    for (index, section) in graph.sections.enumerated() {
      for name in names(in: section) { last[name] = index }
    }
    for (index, section) in graph.sections.enumerated() {
      try prepare(section)
      let done = names(in: section).filter { last[$0] == index }
      try write(weights, done)
      weights.forget()
    }
  }

  private func names(in section: Range<Int>) -> [TensorName] {
    var seen: Set<TensorName> = []
    return section.compactMap { (graph.graph[graph.order[$0]].op as? Weight)?.name }.filter { seen.insert($0).inserted }
  }

  mutating func prepare(_ section: Range<Int>) throws {
    if let rotation { for name in names(in: section) { try rotation.apply(to: name, in: &weights) } }
    let start = run
    var hasRun = false
    deployed = [:]
    for (number, step) in recipe.steps.enumerated() {
      var next = start
      switch step {
      case .rotate: continue
      case .smooth(let smoothing):
        guard try smooth(smoothing, section, &next) else { continue }
      case .quantize(let linear):
        guard let numbers = together(number) else { continue }
        let layers = sites(in: section).filter { choice[$0.layer.module].map(numbers.contains) ?? false }
        let chosen = layers.map { (site: $0, step: self.step(choice[$0.layer.module]!) ?? linear) }
        if linear.isV0 { for (site, step) in chosen where !step.needsData { deployed[site.layer.module] = step } }
        let isObserved = try observe(chosen.filter(\.step.needsData), section, &next)
        for (site, step) in chosen { deployed[site.layer.module] = step }
        guard isObserved else { continue }
      case .smoothKeys(let selection, let power):
        guard try smoothKeys(selection, power: power, section, &next) else { continue }
      case .quantizeCache(let cache):
        guard try observe(cache, section, &next) else { continue }
      }
      run = next
      hasRun = true
    }
    try originalRun?.run(section, PreparedWeights(weights.base))
    guard !hasRun, run != nil, section.upperBound < graph.order.count else { return }
    let watch = try watch(section)
    try run?.run(section, weights, watch)
  }

  private func step(_ number: Int) -> QuantizationRecipe.Linear? {
    if case .quantize(let linear) = recipe.steps[number] { linear } else { nil }
  }

  /// The steps that are carried out with this one; nil when it was with an earlier one.
  private func together(_ number: Int) -> [Int]? {
    guard step(number)?.isV0 == true else { return [number] }
    let all = recipe.steps.indices.filter { step($0)?.isV0 == true }
    return all.first == number ? all : nil
  }

  /// How a section runs with the layers quantized that earlier steps have quantized.
  func watch(_ section: Range<Int>) throws -> CalibrationRun.Watch {
    var watch = CalibrationRun.Watch()
    guard run != nil else { return watch }
    var ways: [LinearRounding] = []
    for site in sites(in: section) where site.expertPart == nil {
      guard let step = deployed[site.layer.module], let weight = try weights[site.layer.weight]?.tensor() else {
        continue
      }
      watch.replacing[site.layer.weight] = try RoundTrip.weight(
        weight, module: site.layer.module, step.scheme, step.method, stored: weights.codes[site.layer.module])
      guard step.scheme.quantizesInputs else { continue }
      let way = LinearRounding(scheme: step.scheme, grid: weights.grids[site.layer.module])
      let place = ways.firstIndex(of: way) ?? ways.count
      if place == ways.count { ways.append(way) }
      watch.roundings[site.node] = place
    }
    watch.round = { try ways[$0.rounding].round($1) }
    return watch
  }

  func sites(in section: Range<Int>) -> [LinearSite] {
    sites.filter { section.contains(graph.place(of: $0.node)) }
  }

  // MARK: Smoothing

  /// False when nothing in the section is smoothed, and nothing was run.
  private mutating func smooth(
    _ step: QuantizationRecipe.Smoothing, _ section: Range<Int>, _ run: inout CalibrationRun?
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
    let experts = ExpertTokens.all(
      sites(in: section).filter { site in
        chosen.contains { $0.isInExpert && $0.readers[0].weight == site.layer.weight }
      }, graph.graph)
    let known = plain.union(others.map(\.input))
    watch.observed = known.union(experts.values.flatMap(\.values))
    let threads = threads
    watch.observe = { value, tensor in
      for tokens in experts.values { tokens.observe(value, tensor) }
      guard known.contains(value) else { return }
      if own != nil { try found.inputs.observe(value, tensor, threads) }
      try found.sizes[value, default: ChannelSizes(keepsRows: keepsRows)].observe(tensor)
    }
    let current = weights
    if step.v0 == nil {
      try run?.run(section, current, watch)
    } else {
      var plain = originalRun
      watch.replacing = [:]
      try plain?.run(section, PreparedWeights(weights.base), watch)
    }
    for subgraph in chosen {
      var inner: [Tensor] = []
      var size = subgraph.isInExpert ? ChannelSizes(keepsRows: keepsRows) : found.sizes[subgraph.value]
      if subgraph.isInExpert {
        inner = try self.inner(of: subgraph.readers[0], experts, current)
        for tensor in inner { try size?.observe(tensor) }
      }
      guard let size, !size.isEmpty else { continue }
      if let own {
        for tensor in inner {
          try found.inputs.observe(subgraph.value, tensor, threads, as: subgraph.readers[0].module)
        }
        try smooth(subgraph, own, mean: size.mean, found.inputs)
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
    for site in others { if let own { try cut(site.layer, site.input, own, found.inputs) } }
    return step.v0 == nil
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
      try weights.divide(name, by: scales.source)
    }
  }

  mutating func apply(_ scales: SmoothingScales, to subgraph: Subgraph) throws {
    for reader in subgraph.readers { try weights.scaleColumns(of: reader.weight, by: scales.read) }
    guard !scales.source.isEmpty else { return }
    try weights.divideRows(of: subgraph.sourceWeight, by: scales.source)
    if let bias = subgraph.sourceBias { try weights.divideRows(of: bias, by: scales.source) }
  }

  // MARK: Inputs of layers

  /// Finds the grids of inputs and how alike their channels are.
  private mutating func observe(
    _ chosen: [(site: LinearSite, step: QuantizationRecipe.Linear)], _ section: Range<Int>,
    _ run: inout CalibrationRun?
  ) throws -> Bool {
    guard !chosen.isEmpty else { return false }
    let (found, threads) = (Observations(), threads)
    var watch = try watch(section)
    let round = watch.round
    // Roundings of this run are the numbers of steps, below zero.
    var steps: [Int: QuantizationRecipe.Linear] = [:]
    for (site, step) in chosen where site.expertPart == nil {
      let layer = site.layer
      let own = -1 - (choice[layer.module] ?? 0)
      steps[own] = step
      watch.roundings[site.node] = own
      guard !step.method.needsData, let weight = try weights[layer.weight]?.tensor() else { continue }
      watch.replacing[layer.weight] = try RoundTrip.weight(
        weight, module: layer.module, step.scheme, step.isV0 ? step.method : .minmax)
    }
    watch.round = { [steps] place, tensor in
      guard let step = steps[place.rounding] else { return try round(place, tensor) }
      let rounded = try found.round(place, tensor, step)
      guard step.method.needsData else { return rounded }
      let rows = try Matrix(rounded)
      try found.moments[place, default: SecondMoments(inputs: rows.columns)].observe(rows, threads)
      return rounded
    }
    let experts = ExpertTokens.all(chosen.map(\.site), graph.graph)
    watch.observed = Set(experts.values.flatMap(\.values))
    watch.observe = { value, tensor in for tokens in experts.values { tokens.observe(value, tensor) } }
    try run?.run(section, weights, watch)
    for (site, step) in chosen where site.expertPart != nil { try observe(site, step, experts) }
    for (site, _) in chosen {
      guard let own = watch.roundings[site.node] else { continue }
      let place = RoundedValue(value: site.input, rounding: own)
      if let grid = found.observers[place]?.grid { weights.grids[site.layer.module] = grid }
    }
    for (place, moments) in found.moments {
      let layers = chosen.filter { $0.site.input == place.value && watch.roundings[$0.site.node] == place.rounding }
      guard let first = layers.first else { continue }
      let solver = try CodeSolver(first.step.method, moments, module: first.site.layer.module, threads)
      for (site, step) in layers {
        guard let weight = try weights[site.layer.weight]?.tensor() else { continue }
        weights.codes[site.layer.module] = try solver.codes(weight, module: site.layer.module, step.scheme)
      }
    }
    return true
  }
}
