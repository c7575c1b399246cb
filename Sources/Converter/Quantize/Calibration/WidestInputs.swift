import IR
import Quantization
import Tensors

/// Which layers have inputs whose largest value is largest for how far the others spread: `disable_level` of
/// `modelslim_v0` keeps such layers as they are.
enum WidestInputs {
  /// Sequences that are looked at.
  private static let sequenceCount = 5

  /// The modules of so many layers of the prepared model, among those that `isTaken`.
  static func modules(
    _ count: Int, of recipe: QuantizationRecipe, _ model: LoadedModel, _ sequences: [[Int32]], isCompatible: Bool,
    threads: Int, isTaken: (_ module: String) -> Bool
  ) throws -> [String] {
    let smoothing = recipe.steps.filter { if case .smooth = $0 { true } else { false } }
    var calibrator = try Calibrator(
      QuantizationRecipe(steps: smoothing), model, choice: [:], sequences: sequences, isCompatible: isCompatible,
      threads: threads)
    var run = try CalibrationRun(calibrator.graph, Array(sequences.prefix(sequenceCount)), threads: threads)
    var found: [(module: String, width: Double)] = []
    for section in calibrator.graph.sections {
      try calibrator.prepare(section)
      let sites = calibrator.sites(in: section).filter { $0.expertPart == nil && isTaken($0.layer.module) }
      let spreads = Spreads()
      var watch = CalibrationRun.Watch()
      watch.observed = Set(sites.map(\.input))
      watch.observe = { value, tensor in
        try spreads.all[value, default: Spread()].observe(tensor)
      }
      try run.run(section, calibrator.weights, watch)
      for site in sites {
        guard let spread = spreads.all[site.input] else { continue }
        found.append((site.layer.module, spread.width))
      }
      calibrator.weights.forget()
    }
    let ranked = found.enumerated().sorted { ($1.element.width, $0.offset) < ($0.element.width, $1.offset) }
    return ranked.prefix(count).map(\.element.module)
  }

  private final class Spreads {
    var all: [ValueID: Spread] = [:]
  }
}

extension QuantizationOptions {
  func sequences(_ path: String, for model: LoadedModel) throws -> [[Int32]] {
    try CalibrationData(path, for: model, limit: calibrationLimit, length: calibrationLength).sequences
  }
}

extension QuantizationRecipe {
  /// Leaves out the layers with the widest inputs of the data in a file.
  mutating func keepWidest(
    _ count: Int, _ model: LoadedModel, _ options: QuantizationOptions, _ path: String
  ) throws {
    let choice = try SchemeChoice(self, layers: LinearFinder(model.graph).layers(), weights: model.weights)
    let kept = try WidestInputs.modules(
      count, of: self, model, options.sequences(path, for: model), isCompatible: options.isCompatible,
      threads: options.threads
    ) { choice.steps[$0] != nil }.map { try NamePattern($0) }
    steps = steps.map { step in
      guard case .quantize(var linear) = step else { return step }
      linear.selection.exclude += kept
      return .quantize(linear)
    }
  }
}

/// The largest magnitude of a value, and the largest deviation of its elements in a sequence, each element taken from
/// the sum of its channel's bounds.
private struct Spread {
  private var largest: Float = 0
  private var deviation = 0.0

  var width: Double { deviation == 0 ? 0 : Double(largest) / deviation }

  mutating func observe(_ tensor: Tensor) throws {
    var sizes = ChannelSizes(keepsRows: false)
    try sizes.observe(tensor)
    guard !sizes.isEmpty else { return }
    largest = max(largest, sizes.largest.max() ?? 0)
    let columns = sizes.bounds.count
    let shifts = sizes.bounds.map { $0.least + $0.greatest }
    let moved = tensor.floats.enumerated().map { Double($0.element - shifts[$0.offset % columns]) }
    let mean = moved.reduce(0, +) / Double(moved.count)
    let squares = moved.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
    deviation = max(deviation, (squares / Double(max(moved.count - 1, 1))).squareRoot())
  }
}
