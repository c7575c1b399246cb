public import IR
internal import Quantization
internal import Tensors
internal import Validation

/// Measures what it costs to quantize parts of a model, one at a time, by the arithmetic of a chip.
///
/// The model runs section by section, a decoder layer at a time, once for each scheme. With the sequences as the model
/// leaves them goes a trial for each part that was quantized on the way; the next sections are the same for all. So
/// weights of one section are in memory, and as many sequences at a time as their trials leave room for.
public struct SensitivityMeter {
  private let model: LoadedModel
  private let options: QuantizationOptions
  private let schemes: [String]
  private let arithmetic: QuantizedArithmetic
  private let graph: CalibrationGraph
  private let units: [LinearUnit]
  private let sites: [LinearSite]
  /// What is run to measure on, and what algorithms look at.
  private let sequences: [[Int32]]
  private let calibration: [[Int32]]?
  /// For each scheme; saved where no data is looked at again.
  private let statistics: [CalibrationStatistics]
  private let memoryLimit: Int
  /// Layers that a scheme cannot store, which are left out.
  public let notes: [String]

  /// - Parameters:
  ///   - options: what is said beside schemes; without `text` its calibration data is measured on.
  ///   - text: a file of text, a sequence a line, each begun with the model's beginning token as `eval` reads it.
  ///   - memoryLimit: bytes that values of sequences may take.
  public init(
    _ path: String, schemes words: [String], _ options: QuantizationOptions, text: String?,
    arithmetic: QuantizedArithmetic = .a2, memoryLimit: Int = 1 << 30
  ) throws {
    guard !words.isEmpty else { throw BessemerError(.usage, "no scheme is given to measure, such as w8a8-dynamic") }
    var schemes: [String] = []
    for word in words where word != QuantizationPlan.float {
      let name = try QuantizationRecipe.scheme(word).name
      if !schemes.contains(name) { schemes.append(name) }
    }
    self.schemes = schemes
    let model = try Quantizer.model(path, activation: .float32)
    (self.model, self.arithmetic) = (model, arithmetic)
    self.options = try options.withCalibrationDigest(for: schemes)
    graph = try CalibrationGraph(model.graph)
    let finder = LinearFinder(graph.graph)
    let units = finder.units().filter(\.isQuantizedByDefault)
    (self.units, sites) = (units, finder.sites())
    let modules = Set(units.flatMap { $0.layers.map(\.module) })
    statistics = try schemes.map { try SensitivityMeter.statistics($0, modules, model, options) }
    let calibration = try options.calibration.map {
      try CalibrationData($0, for: model, limit: options.calibrationLimit, length: options.calibrationLength).sequences
    }
    self.calibration = calibration
    guard
      let own = try text.map({
        try CalibrationData(
          $0, for: model, limit: options.calibrationLimit, length: options.calibrationLength, begins: true
        ).sequences
      }) ?? calibration
    else { throw BessemerError(.usage, "nothing is given to measure on; give --text FILE or --calibration FILE") }
    sequences = own.filter { $0.count > 1 }
    guard !sequences.isEmpty else {
      throw BessemerError(.modelInput, "the text has no tokens to predict", file: text ?? options.calibration ?? path)
    }
    self.memoryLimit = memoryLimit
    notes = try SensitivityMeter.notes(units, schemes, model, options)
  }

  /// What stands for calibration data. Throws ``ErrorCode/usage`` where layers are looked at one at a time.
  private static func statistics(
    _ scheme: String, _ modules: Set<String>, _ model: LoadedModel, _ options: QuantizationOptions
  ) throws -> CalibrationStatistics {
    guard options.statistics != nil else { return .unsaved }
    let recipe = try QuantizationRecipe(options, [(scheme, modules)])
    guard !recipe.steps.contains(where: \.needsDataToQuantize) else {
      throw BessemerError(
        .usage,
        "to measure \(scheme) the data itself is needed: statistics are of a package where all layers are quantized, "
          + "not each alone; give --calibration")
    }
    return try StatisticsChoice(options, recipe, model.weights, keepsWidest: false).opened(model, recipe)
  }

  /// Throws ``ErrorCode/unsupportedFeature`` for a scheme that no layer can have.
  private static func notes(
    _ units: [LinearUnit], _ schemes: [String], _ model: LoadedModel, _ options: QuantizationOptions
  ) throws -> [String] {
    guard let method = WeightMethod(options.method) else {
      throw BessemerError(
        .usage, "no method \(quoted(options.method)); expected one of \(WeightMethod.names.joined(separator: ", "))")
    }
    return try schemes.compactMap { name in
      let scheme = try QuantizationRecipe.scheme(name)
      let problems = try units.compactMap { unit in
        try PlanUnit.problem(scheme, unit.layers, model.weights, .ascendV1, method).map { (unit.layers[0].module, $0) }
      }
      guard problems.count < units.count else {
        let why = problems.first.map { ": \($0.1)" } ?? ""
        throw BessemerError(
          .unsupportedFeature, "the model has no linear layer that can have \(name)\(why)", file: model.path)
      }
      return problems.first.map {
        "\(name) is left out for \(problems.count) of \(units.count) groups of layers; \(quoted($0.0)): \($0.1)"
      }
    }
  }

  /// What a part that is quantized alone comes to.
  private struct Sums {
    let scheme: String
    let layers: [LinearLayer]
    var lost: [String: (lost: Double, all: Double)] = [:]
    var outputs: [String: (lost: Double, all: Double)] = [:]
    var divergence = 0.0
  }

  /// `progress` gets the sections that are done, and all.
  public func measure(progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }) throws -> Sensitivity {
    let chunks = chunks()
    let total = chunks.count * schemes.count * graph.sections.count
    var done = 0
    /// By scheme and section the units and, last where there are several, all of them together.
    var sums: [[[Sums]]] = []
    var totals = [Totals](repeating: (0, 0, 0), count: schemes.count)
    for (k, scheme) in schemes.enumerated() {
      sums.append(try graph.sections.map { try parts(in: $0, scheme) })
      for (c, chunk) in chunks.enumerated() {
        let found = try measure(chunk, scheme, statistics[k], &sums[k], isFirst: c == 0) {
          done += 1
          progress(done, total)
        }
        totals[k].whole += found.whole
        totals[k].prepared += found.prepared
        totals[k].positions += found.positions
      }
    }
    return result(sums, totals)
  }

  private func result(_ sums: [[[Sums]]], _ totals: [Totals]) -> Sensitivity {
    let positions = totals.first?.positions ?? 0
    var result = Sensitivity(
      source: QuantizationPlan.digest(of: model.weights), settings: options.settings, schemes: schemes,
      chip: arithmetic.rawValue, units: [], layers: [])
    result.wholes = totals.map { $0.whole / Double(max(1, positions)) }
    result.prepared = totals.map { $0.prepared / Double(max(1, positions)) }
    (result.sequences, result.positions) = (sequences.count, positions)
    func ratio(_ sum: (lost: Double, all: Double)?) -> Double? { sum.map { $0.all > 0 ? $0.lost / $0.all : 0 } }
    for section in sums.joined() where !section.isEmpty {
      for unit in section.prefix(max(1, section.count - 1)) {
        let linears = unit.layers.map {
          Sensitivity.Linear(
            name: $0.module, weightError: ratio(unit.lost[$0.module]) ?? 0, outputError: ratio(unit.outputs[$0.module]))
        }
        result.units.append(
          Sensitivity.Unit(
            scheme: unit.scheme, linears: linears, divergence: unit.divergence / Double(max(1, positions))))
      }
      guard let all = section.last else { continue }
      result.layers.append(
        Sensitivity.Layer(
          name: String(CalibrationGraph.layer(of: all.layers[0].weight)), scheme: all.scheme,
          divergence: all.divergence / Double(max(1, positions))))
    }
    return result
  }

  /// The parts of a section that can be quantized by a scheme.
  private func parts(in section: Range<Int>, _ name: String) throws -> [Sums] {
    let scheme = try QuantizationRecipe.scheme(name)
    let method = WeightMethod(options.method) ?? .minmax
    let here = Set(sites.filter { section.contains(graph.place(of: $0.node)) }.map(\.layer.module))
    var parts = try units.filter { unit in
      try here.contains(unit.layers[0].module)
        && PlanUnit.problem(scheme, unit.layers, model.weights, .ascendV1, method) == nil
    }.map { Sums(scheme: name, layers: $0.layers) }
    if parts.count > 1 { parts.append(Sums(scheme: name, layers: parts.flatMap(\.layers))) }
    return parts
  }

  /// Sequences that go through together, so that what trials make of them fits.
  private func chunks() -> [[[Int32]]] {
    let types = graph.graph
    func width(_ value: ValueID) -> Int { types.type(of: value).dims.last?.value ?? 0 }
    let outputs =
      sites.map { width($0.output ?? types[$0.node].results[0]) }.reduce(0, +) / max(1, graph.sections.count)
    let between =
      graph.sections.compactMap { section in
        try? graph.part(section).outputs.map(width).max()
      }.filter { $0 > 0 }.min() ?? 0
    let scores = types.outputs.map { width($0.value) }.max() ?? 0
    let perToken = 4 * (outputs + scores + between * (units.count + graph.sections.count))
    var (chunks, tokens): ([[[Int32]]], Int) = ([[]], 0)
    for sequence in sequences {
      if tokens > 0, (tokens + sequence.count) * perToken > memoryLimit {
        chunks.append([])
        tokens = 0
      }
      chunks[chunks.count - 1].append(sequence)
      tokens += sequence.count
    }
    return chunks
  }

  // MARK: Running

  /// What a model comes to, summed over positions, and how many there are.
  private typealias Totals = (whole: Double, prepared: Double, positions: Int)

  /// Runs some sequences with each part quantized alone.
  ///
  /// Each part has the weights, ranges and codes of the package in which nothing else is quantized.
  private func measure(
    _ chunk: [[Int32]], _ scheme: String, _ statistics: CalibrationStatistics, _ sums: inout [[Sums]], isFirst: Bool,
    step: () -> Void
  ) throws -> Totals {
    let all = try Packing(scheme, sums.joined().flatMap(\.layers), options, model.weights)
    let none = try Packing(scheme, [], options, model.weights)
    // Algorithms compute in the checkpoint's type; sections are the same, for they go by names of weights.
    let calibrates = all.recipe.needsData || all.recipe.editsWeights
    guard !all.recipe.needsData || calibration != nil || statistics.areSaved else {
      throw BessemerError(.usage, "\(scheme) needs calibration data; give a file with --calibration")
    }
    var calibrator = try calibrates ? calibrator(none, statistics) : nil
    var wholeCalibrator = calibrator?.continued(all.recipe, choice: all.choice.steps)
    var walk = try TrialWalk(
      graph, sites, chunk, arithmetic: arithmetic, isPrepared: all.recipe.editsWeights, threads: options.threads)
    let own = PreparedWeights(model.weights)
    for section in graph.sections.indices {
      let range = calibrator?.graph.sections[section]
      if let range {
        try calibrator?.rotate(range)
        try wholeCalibrator?.prepare(range)
      }
      // Where AWQ smooths for what is quantized, each part is smoothed otherwise.
      let sharesSmoothing = all.recipe.steps.count == none.recipe.steps.count + 1
      let before = calibrator
      if let range { try calibrator?.carryOut(range) }
      var trials: [TrialWalk.Trial] = []
      for part in sums[section].indices {
        let layers = sums[section][part].layers
        let packing = try Packing(scheme, layers, options, model.weights)
        var weights = own
        if let range, var one = before?.continued(packing.recipe, choice: packing.choice.steps) {
          try one.carryOutSteps(range, smoothed: sharesSmoothing ? calibrator?.weights : nil)
          weights = one.weights
        }
        let isAll = sums[section].count > 1 && part == sums[section].count - 1
        var trial = TrialWalk.Trial(section: section, part: part, weights: weights)
        if isAll, !calibrates {
          for other in trials { trial.tensors.merge(other.tensors) { $1 } }
        } else {
          let lost = try packing.quantize(layers, &trial, threads: options.threads)
          if isFirst, !isAll { sums[section][part].lost = lost }
        }
        if !isAll { trial.watched = Set(layers.map(\.module)) }
        trials.append(trial)
      }
      if let wholeCalibrator {
        var trial = TrialWalk.Trial(section: section, part: nil, isWhole: true, weights: wholeCalibrator.weights)
        _ = try all.quantize(sums[section].last?.layers ?? [], &trial, threads: options.threads)
        trials.append(trial)
      } else if !trials.isEmpty {
        trials[trials.count - 1].isWhole = true
      }
      let outputs = try walk.run(
        section, (own, calibrator?.weights ?? own), trials, QuantizationRecipe.scheme(scheme))
      for (part, found) in zip(sums[section].indices, outputs) {
        for (module, error) in found {
          let before = sums[section][part].outputs[module] ?? (0, 0)
          sums[section][part].outputs[module] = (before.lost + error.lost, before.all + error.all)
        }
      }
      calibrator?.weights.forget()
      wholeCalibrator?.weights.forget()
      try own.releasePages(of: graph.weights(in: graph.sections[section]))
      step()
    }
    let (found, whole, prepared) = walk.divergences
    for trial in found { sums[trial.section][trial.part].divergence += trial.sum }
    return (whole, prepared, walk.positions)
  }

  /// Calibrates with nothing quantized.
  private func calibrator(_ packing: Packing, _ statistics: CalibrationStatistics) throws -> Calibrator {
    let calibrator = try Calibrator(
      packing.recipe, Quantizer.model(model.path), choice: packing.choice.steps, sequences: calibration,
      statistics: statistics, isCompatible: options.isCompatible, threads: options.threads)
    guard calibrator.graph.sections.count == graph.sections.count else {
      throw BessemerError(.unsupportedFeature, "the model has other sections in its own type")
    }
    return calibrator
  }
}
