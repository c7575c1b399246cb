import IR
import Quantization
import Runtime
import Tensors

/// Carries out the steps of a recipe section by section: what a step leaves is what the next one sees.
///
/// Every step that looks at data runs the section once more on what the sections before left of the sequences, as
/// msModelSlim does; weights of one section are in memory at a time.
struct Calibrator {
  private(set) var recipe: QuantizationRecipe
  let graph: CalibrationGraph
  let subgraphs: [Subgraph]
  let sites: [LinearSite]
  /// By module, the number of the step that quantizes it.
  private var choice: [String: Int]
  let threads: KernelThreads
  var run: CalibrationRun?
  /// The same through the model as it is, and as it is prepared before anything is quantized; for `modelslim_v0`.
  var originalRun: CalibrationRun?
  var preparedRun: CalibrationRun?
  var weights: PreparedWeights
  private var rotation: RotationPlan?
  let caches: [AttentionCache]
  let latent: [LatentAttention]
  /// By module, how the layers of the section are quantized that steps so far have dealt with.
  private var deployed: [String: QuantizationRecipe.Linear] = [:]
  /// Whether what msModelSlim does wrong is done so too.
  let isCompatible: Bool
  /// What a person should know of the calibration, a sentence each.
  var notes: [String] = []
  let statistics: CalibrationStatistics
  /// The first layer that reads each value.
  let readers: [ValueID: LinearLayer]

  /// - Parameter sequences: nil when no step needs data, or its statistics are saved.
  init(
    _ recipe: QuantizationRecipe, _ model: LoadedModel, choice: [String: Int], sequences: [[Int32]]?,
    statistics: CalibrationStatistics = .unsaved, isCompatible: Bool, threads: Int
  ) throws {
    self.statistics = statistics
    self.isCompatible = isCompatible
    self.recipe = recipe
    self.choice = choice
    self.threads = KernelThreads(threads)
    var graph = try CalibrationGraph(model.graph)
    // msModelSlim runs the single steps for this family.
    graph.fusesAttention = !(isCompatible && model.modelType == "deepseek_v3")
    self.graph = graph
    subgraphs = SubgraphFinder(graph.graph).subgraphs()
    sites = LinearFinder(graph.graph).sites()
    readers = Dictionary(sites.map { ($0.input, $0.layer) }, uniquingKeysWith: { first, _ in first })
    let attention = AttentionCacheFinder(graph.graph)
    (caches, latent) = (attention.caches(graph.cached), attention.latent(graph.cached))
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
      let products = isCompatible ? self.threads : nil
      plan = try RotationPlan(rotation, graph, subgraphs, model.weights, products: products)
      guard let found = try searched(rotation, plan) else { continue }
      plan = try RotationPlan(rotation, graph, subgraphs, model.weights, products: products, found: found)
    }
    rotation = plan
  }

  /// Calls `write` after each section with the names of the weights that will not change any more.
  mutating func prepare(_ write: (_ weights: PreparedWeights, _ names: [TensorName]) throws -> Void) throws {
    // A weight may serve several sections, as a tied one does; it is done with the last.
    var last: [TensorName: Int] = [:]
    for (index, section) in graph.sections.enumerated() {
      for name in graph.weights(in: section) { last[name] = index }
    }
    for (index, section) in graph.sections.enumerated() {
      try prepare(section)
      let done = graph.weights(in: section).filter { last[$0] == index }
      try write(weights, done)
      weights.forget()
      try weights.releasePages(of: graph.weights(in: section))
    }
  }

  mutating func prepare(_ section: Range<Int>) throws {
    try rotate(section)
    try carryOut(section)
  }

  /// The same as far as it is come, with other steps than rotations from here on.
  func continued(_ recipe: QuantizationRecipe, choice: [String: Int]) -> Calibrator {
    var other = self
    (other.recipe, other.choice) = (recipe, choice)
    return other
  }

  mutating func rotate(_ section: Range<Int>) throws {
    if let rotation { for name in graph.weights(in: section) { try rotation.apply(to: name, in: &weights) } }
  }

  /// Carries out all steps but rotations.
  mutating func carryOut(_ section: Range<Int>) throws {
    let hasRun = try carryOutSteps(section)
    try originalRun?.run(section, PreparedWeights(weights.base))
    guard !hasRun, run != nil, section.upperBound < graph.order.count else { return }
    let watch = try watch(section)
    try run?.run(section, weights, watch)
  }

  /// Answers with whether one of the steps took the sequences on.
  ///
  /// - Parameter smoothed: the weights as steps that smooth have left them; nil to carry these out, too.
  @discardableResult
  mutating func carryOutSteps(_ section: Range<Int>, smoothed: PreparedWeights? = nil) throws -> Bool {
    let start = run
    var hasRun = false
    deployed = [:]
    if let smoothed { weights = smoothed }
    for (number, step) in recipe.steps.enumerated() {
      var next = start
      switch step {
      case .rotate: continue
      case .smooth where smoothed != nil, .smoothKeys where smoothed != nil: continue
      case .smooth(let smoothing):
        guard try smooth(smoothing, number, section, &next) else { continue }
      case .quantize(let linear):
        guard let numbers = together(number) else { continue }
        let layers = sites(in: section).filter { choice[$0.layer.module].map(numbers.contains) ?? false }
        let chosen = layers.map { (site: $0, step: self.step(choice[$0.layer.module]!) ?? linear) }
        if linear.isV0 { for (site, step) in chosen where !step.needsData { deployed[site.layer.module] = step } }
        let isObserved = try observe(chosen.filter(\.step.needsData), section, &next)
        for (site, step) in chosen { deployed[site.layer.module] = step }
        guard isObserved else { continue }
      case .smoothKeys(let selection, let power):
        guard try smoothKeys(selection, power: power, number, section, &next) else { continue }
      case .quantizeCache(let cache):
        guard try observe(cache, number, section, &next) else { continue }
      case .sparsify(let selection, let share):
        guard try sparsify(selection, share: share, number, section, &next) else { continue }
      case .quantizeAttention(let attention):
        guard try observe(attention, number, section, &next) else { continue }
      }
      run = next
      hasRun = true
    }
    return hasRun
  }

  private func step(_ number: Int) -> QuantizationRecipe.Linear? {
    if case .quantize(let linear) = recipe.steps[number] { linear } else { nil }
  }

  /// How a layer is quantized; nil for one that is not.
  func step(of layer: LinearLayer) -> QuantizationRecipe.Linear? { choice[layer.module].flatMap { step($0) } }

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
    let (current, deployed) = (weights, deployed)
    /// The weight of a layer as it is stored.
    func stored(_ site: LinearSite) throws -> Tensor? {
      guard let step = deployed[site.layer.module], let weight = try current[site.layer.weight]?.tensor() else {
        return nil
      }
      return try RoundTrip.weight(
        weight, module: site.layer.module, step.scheme, step.method, stored: current.codes[site.layer.module])
    }
    func rounding(_ site: LinearSite) -> LinearRounding? {
      guard let step = deployed[site.layer.module], step.scheme.quantizesInputs else { return nil }
      return LinearRounding(scheme: step.scheme, grid: current.grids[site.layer.module])
    }
    watch.experts.weight = stored
    watch.experts.read = { try rounding($0)?.round($1) ?? $1 }
    for site in sites(in: section) {
      guard let step = deployed[site.layer.module] else { continue }
      let isExpert = site.expertPart != nil
      if isCompatible, !step.isV0, case .whole = step.scheme.grid {
        if isExpert { watch.experts.wide.insert(site.layer.weight) } else { watch.wide.insert(site.node) }
      }
      guard !isExpert else { continue }
      watch.replacing[site.layer.weight] = try stored(site)
      guard let way = rounding(site) else { continue }
      let place = ways.firstIndex(of: way) ?? ways.count
      if place == ways.count { ways.append(way) }
      watch.roundings[site.node] = place
    }
    watch.round = { try ways[$0.rounding].round($1) }
    return watch
  }

  /// The number of the step that quantizes a layer.
  func number(of layer: LinearLayer) -> Int { choice[layer.module] ?? 0 }

  mutating func add(_ more: [String]) { for note in more where !notes.contains(note) { notes.append(note) } }

  func sites(in section: Range<Int>) -> [LinearSite] {
    sites.filter { section.contains(graph.place(of: $0.node)) }
  }

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
      let own = -1 - number(of: layer)
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
    let experts = chosen.filter { $0.site.expertPart != nil }
    let findings = observeExperts(experts, &watch.experts)
    try run?.run(section, weights, watch)
    if run == nil { for (site, step) in experts { try settle(site, step, findings, tokens: nil) } }
    weights.grids.merge(findings.grids) { $1 }
    weights.codes.merge(findings.codes) { $1 }
    add(findings.notes)
    var groups: [RoundedValue: [(site: LinearSite, step: QuantizationRecipe.Linear)]] = [:]
    for (site, step) in chosen {
      guard let own = watch.roundings[site.node] else { continue }
      let place = RoundedValue(value: site.input, rounding: own)
      if step.scheme.needsInputGrid {
        weights.grids[site.layer.module] = try settled(
          found.observers[place]?.grid, reader(of: site.input), -1 - own)
      }
      if step.method.needsData { groups[place, default: []].append((site, step)) }
    }
    for (place, layers) in groups.sorted(by: { $0.key < $1.key }) {
      let first = layers[0]
      guard let moments = try settled(found.moments[place], reader(of: place.value), -1 - place.rounding) else {
        continue
      }
      let solver = try CodeSolver(first.step.method, moments, module: first.site.layer.module, threads)
      for (site, step) in layers {
        guard let weight = try weights[site.layer.weight]?.tensor() else { continue }
        weights.codes[site.layer.module] = try solver.codes(weight, module: site.layer.module, step.scheme)
      }
    }
    return true
  }
}
