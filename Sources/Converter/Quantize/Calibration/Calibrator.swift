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
  private let graph: CalibrationGraph
  private let subgraphs: [Subgraph]
  private let sites: [LinearSite]
  /// By module, the number of the step that quantizes it.
  private let choice: [String: Int]
  private let threads: KernelThreads
  private var run: CalibrationRun?
  private var weights: PreparedWeights
  private let rotation: RotationPlan?
  private let caches: [AttentionCache]
  /// By module, how the layers of the section are quantized that steps so far have dealt with.
  private var deployed: [String: QuantizationRecipe.Linear] = [:]
  /// Whether what msModelSlim does wrong is done so too.
  private let isCompatible: Bool

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
    var plan: RotationPlan?
    for case .rotate(let rotation) in recipe.steps {
      plan = try RotationPlan(rotation, graph.graph, subgraphs, model.weights)
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

  private mutating func prepare(_ section: Range<Int>) throws {
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
        let layers = sites(in: section).filter { choice[$0.layer.module] == number }
        let isObserved = try linear.needsData && observe(linear, layers, section, &next)
        for site in layers { deployed[site.layer.module] = linear }
        guard isObserved else { continue }
      case .smoothKeys(let selection, let power):
        guard try smoothKeys(selection, power: power, section, &next) else { continue }
      case .quantizeCache(let cache):
        guard try observe(cache, section, &next) else { continue }
      }
      run = next
      hasRun = true
    }
    guard !hasRun, run != nil, section.upperBound < graph.order.count else { return }
    let watch = try watch(section)
    try run?.run(section, weights, watch)
  }

  /// How a section runs with the layers quantized that earlier steps have quantized.
  private func watch(_ section: Range<Int>) throws -> CalibrationRun.Watch {
    var watch = CalibrationRun.Watch()
    guard run != nil else { return watch }
    var ways: [LinearRounding] = []
    for site in sites(in: section) where site.expertPart == nil {
      guard let step = deployed[site.layer.module], let weight = try weights[site.layer.weight]?.tensor() else {
        continue
      }
      watch.replacing[site.layer.weight] = try RoundTrip.weight(
        weight, module: site.layer.module, step.scheme, step.method, moments: weights.moments[site.layer.module])
      guard step.scheme.quantizesInputs else { continue }
      let way = LinearRounding(scheme: step.scheme, grid: weights.grids[site.layer.module])
      let place = ways.firstIndex(of: way) ?? ways.count
      if place == ways.count { ways.append(way) }
      watch.roundings[site.node] = place
    }
    watch.round = { try ways[$0.rounding].round($1) }
    return watch
  }

  private func sites(in section: Range<Int>) -> [LinearSite] {
    sites.filter { section.contains(graph.place(of: $0.node)) }
  }

  // MARK: Smoothing

  /// False when nothing in the section is smoothed, and nothing was run.
  private mutating func smooth(
    _ step: QuantizationRecipe.Smoothing, _ section: Range<Int>, _ run: inout CalibrationRun?
  ) throws -> Bool {
    let here = Set(sites(in: section).map(\.layer.weight))
    let chosen = try subgraphs.filter { subgraph in
      try step.kinds.contains(subgraph.kind) && !subgraph.isInExpert
        && subgraph.readers.allSatisfy {
          here.contains($0.weight) && $0.role != .head && step.readers?.contains($0.module) ?? true
        }
        && step.selection.contains(subgraph.source)
    }.sorted { $0.kind < $1.kind }
    guard !chosen.isEmpty else { return false }
    let begin = run
    let found = Observations()
    let keepsRows = if case .scales(let algorithm) = step.algorithm { algorithm.needsTokens } else { false }
    let deployed = try watch(section)
    var watch = deployed
    watch.observed = Set(chosen.map(\.value))
    watch.observe = { value, tensor in
      try found.sizes[value, default: ChannelSizes(keepsRows: keepsRows)].observe(tensor)
    }
    let current = weights
    try run?.run(section, current, watch)
    for subgraph in chosen {
      guard let size = found.sizes[subgraph.value], !size.isEmpty else { continue }
      let scales: SmoothingScales?
      switch step.algorithm {
      case .scales(let algorithm):
        let input = SmoothingInput(
          kind: subgraph.kind, heads: subgraph.heads, dtype: try weights.dtype(of: subgraph.sourceWeight),
          weights: try subgraph.readers.map { try weights.matrix($0.weight) }, largest: size.largest, mean: size.mean,
          tokens: size.tokens)
        scales = try algorithm.scales(input, threads)
      case .awq(let awq, let scheme, let method):
        let trial = try AWQTrial(graph, subgraph, sites, weights, before: current, begin, section, deployed)
        let found = try trial.search(awq, mean: size.mean, scheme, method)
        if let heads = subgraph.heads, heads.query != heads.keyValue {
          // msModelSlim scales the readers and then fails at the source, which has fewer rows.
          scales =
            isCompatible
            ? SmoothingScales(read: found, source: [])
            : try SharedHeads.mean(found, heads, weights.dtype(of: subgraph.sourceWeight))
        } else {
          scales = SmoothingScales(read: found, source: found)
        }
      }
      if let scales { try apply(scales, to: subgraph) }
    }
    return true
  }

  private mutating func apply(_ scales: SmoothingScales, to subgraph: Subgraph) throws {
    for reader in subgraph.readers { try weights.scaleColumns(of: reader.weight, by: scales.read) }
    guard !scales.source.isEmpty else { return }
    try weights.divideRows(of: subgraph.sourceWeight, by: scales.source)
    if let bias = subgraph.sourceBias { try weights.divideRows(of: bias, by: scales.source) }
  }

  // MARK: Caches

  private func caches(in section: Range<Int>, _ selection: QuantizationRecipe.Selection) throws -> [AttentionCache] {
    let here = Set(sites(in: section).map(\.layer.module))
    return try caches.filter { try here.contains($0.keyModule) && selection.contains($0.attention) }
  }

  /// The ranges of keys and values, of the last sequence alone where others are to be forgotten.
  private func ranges(
    _ chosen: [AttentionCache], _ section: Range<Int>, _ run: inout CalibrationRun?, forgets: Bool
  ) throws -> [ValueID: CacheRanges] {
    let found = Observations()
    var watch = try watch(section)
    watch.observed = Set(chosen.flatMap { [$0.keys, $0.values] })
    watch.observe = { try found.ranges[$0, default: CacheRanges()].observe($1, forgets: forgets) }
    try run?.run(section, weights, watch)
    return found.ranges
  }

  private mutating func smoothKeys(
    _ selection: QuantizationRecipe.Selection, power: Float, _ section: Range<Int>, _ run: inout CalibrationRun?
  ) throws -> Bool {
    let chosen = try caches(in: section, selection)
    guard !chosen.isEmpty else { return false }
    // Every sequence counts here, in msModelSlim too.
    let ranges = try ranges(chosen, section, &run, forgets: false)
    for cache in chosen {
      guard let range = ranges[cache.keys], let queryScale = cache.queryScale else { continue }
      let scales = range.keyScales(heads: cache.heads, depth: cache.depth, power: power)
      switch (cache.keyScale, queryScale) {
      case (.norm(let key), .norm(let query)):
        // A norm has one gain for all heads.
        let shared = (0..<cache.depth).map { channel in
          (0..<cache.heads).map { scales[$0 * cache.depth + channel] }.max() ?? 1
        }
        try weights.divide(key, by: shared)
        try weights.multiply(query, by: shared)
      case (.linear(let key, let keyBias), .linear(let query, let queryBias)):
        let shared = try weights.rows(of: query) / (cache.heads * cache.depth)
        let wide = (0..<cache.heads).flatMap { head in
          (0..<shared).flatMap { _ in scales[(head * cache.depth)..<((head + 1) * cache.depth)] }
        }
        for name in [key] + (keyBias.map { [$0] } ?? []) { try weights.divide(name, by: scales) }
        for name in [query] + (queryBias.map { [$0] } ?? []) { try weights.multiply(name, by: wide) }
      default:
        throw BessemerError(
          .unsupportedFeature, "\(quoted(cache.attention)) has a norm on one of keys and queries only")
      }
    }
    return true
  }

  private mutating func observe(
    _ step: QuantizationRecipe.Cache, _ section: Range<Int>, _ run: inout CalibrationRun?
  ) throws -> Bool {
    let chosen = try caches(in: section, step.selection)
    guard !chosen.isEmpty else { return false }
    let ranges = try ranges(chosen, section, &run, forgets: isCompatible)
    for cache in chosen {
      for (value, module) in [(cache.keys, cache.keyModule), (cache.values, cache.valueModule)] {
        weights.cacheGrids[module] = ranges[value]?.grids(
          isSymmetric: step.isSymmetric, dtype: graph.graph.type(of: value).dtype)
      }
    }
    return true
  }

  // MARK: Inputs of layers

  /// Finds the grids of inputs and how alike their channels are.
  private mutating func observe(
    _ step: QuantizationRecipe.Linear, _ chosen: [LinearSite], _ section: Range<Int>, _ run: inout CalibrationRun?
  ) throws -> Bool {
    guard !chosen.isEmpty else { return false }
    if let expert = chosen.first(where: { $0.expertPart != nil }) {
      throw BessemerError(
        .unsupportedFeature,
        "\(quoted(expert.layer.module)) is one of many experts; \(step.scheme.name) with calibration takes layers that "
          + "every token goes to")
    }
    let (found, threads) = (Observations(), threads)
    var watch = try watch(section)
    if !step.method.needsData {
      for layer in chosen.map(\.layer) {
        let weight = try weights[layer.weight]?.tensor()
        watch.replacing[layer.weight] = try weight.map {
          try RoundTrip.weight($0, module: layer.module, step.scheme, .minmax)
        }
      }
    }
    let (round, own) = (watch.round, -1)
    for site in chosen { watch.roundings[site.node] = own }
    watch.round = { place, tensor in
      guard place.rounding == own else { return try round(place, tensor) }
      let value = place.value
      let rounded = try found.round(value, tensor, step)
      guard step.method.needsData else { return rounded }
      let rows = try Matrix(rounded)
      try found.moments[value, default: SecondMoments(inputs: rows.columns)].observe(rows, threads)
      return rounded
    }
    try run?.run(section, weights, watch)
    for site in chosen {
      if let grid = found.observers[site.input]?.grid { weights.grids[site.layer.module] = grid }
      if let moments = found.moments[site.input] { weights.moments[site.layer.module] = moments }
    }
    return true
  }
}

/// What is found out while sequences run.
private final class Observations {
  var sizes: [ValueID: ChannelSizes] = [:]
  var observers: [ValueID: any InputObserver] = [:]
  var moments: [ValueID: SecondMoments] = [:]
  var ranges: [ValueID: CacheRanges] = [:]

  /// What layers read instead of a value once it is quantized.
  func round(_ value: ValueID, _ tensor: Tensor, _ step: QuantizationRecipe.Linear) throws -> Tensor {
    guard step.scheme.needsInputGrid else {
      return step.scheme.quantizesInputs ? try RoundTrip.input(tensor) : tensor
    }
    var observer = observers[value] ?? step.input.observer(isSymmetric: step.isInputSymmetric)
    try observer.observe(tensor)
    observers[value] = observer
    return step.scheme is W8A8Mix ? try RoundTrip.input(tensor) : try observer.roundTrip(tensor)
  }
}

/// How the input of a quantized layer is rounded when it runs in calibration.
private struct LinearRounding: Equatable {
  let scheme: any LinearScheme
  let grid: InputGrid?

  static func == (a: LinearRounding, b: LinearRounding) -> Bool {
    a.scheme.name == b.scheme.name && a.scheme.groupSize == b.scheme.groupSize && a.grid == b.grid
  }

  func round(_ tensor: Tensor) throws -> Tensor {
    if let grid { return try grid.roundTrip(tensor) }
    guard case .whole = scheme.grid else { return tensor }
    return try RoundTrip.inputs(Matrix(tensor), scheme).tensor(tensor.dtype, shape: tensor.shape)
  }
}
