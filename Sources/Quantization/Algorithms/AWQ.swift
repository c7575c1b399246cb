import Glibc
public import Tensors

/// Scales `mean^r` of the input's channels, r of 0, 1/n, ... chosen by what the block computes when its weights alone
/// are quantized.
///
/// Source: Lin et al. 2023, with msModelSlim's grid and normalization.
public struct AWQ: Sendable, Equatable {
  public var gridSize: Int
  /// Whether weights are cut to the range whose rounding costs least as well.
  public var cuts: Bool

  public init(gridSize: Int = 20, cuts: Bool = false) {
    self.gridSize = gridSize
    self.cuts = cuts
  }

  /// - Parameters:
  ///   - mean: the mean magnitude of each channel.
  ///   - loss: the mean squared difference of the block's outputs for scales that the weights are multiplied by before
  ///     and divided by after they are quantized.
  /// - Returns: the best scales.
  public func search(mean: [Float], dtype: DType, loss: ([Float]) throws -> Double) throws -> [Float] {
    var best: (scales: [Float], loss: Double) = (mean.map { _ in 1 }, .infinity)
    for step in 0..<gridSize {
      let scales = try AWQ.scales(mean, ratio: Float(Double(step) / Double(gridSize))).rounded(to: dtype)
      let found = try loss(scales)
      if found < best.loss { best = (scales, found) }
    }
    return best.scales
  }

  /// Scales for the layers that read a value, chosen by what rounding costs their outputs; never worse than none.
  ///
  /// What they are divided by at the source is taken as it is after rounding. Of the grid, here with r = 1, every other
  /// step is tried, then those beside the best. A gain that is small on the data at hand is none on other data.
  ///
  /// - Parameters:
  ///   - weights: of the readers, [outputs, inputs].
  ///   - gains: of a norm that is the source.
  ///   - share: makes scales for the channels that are read those that the source can have.
  public func search(
    mean: [Float], weights: [Matrix], gains: [Float]?, dtype: DType, _ rounding: WeightRounding, _ loss: OutputLoss,
    share: ([Float]) throws -> SmoothingScales
  ) throws -> SmoothingScales {
    var known: [Int: (scales: SmoothingScales, loss: Double)] = [:]
    func cost(_ scales: SmoothingScales) throws -> Double {
      let divisors = try AWQ.divisors(scales.read, gains: gains, dtype)
      return try weights.reduce(0) { sum, weight in
        let rounded = try rounding(weight.scalingColumns(scales.read), dtype).scalingColumns(divisors)
        return try sum + loss.rows(rounded - weight).reduce(0, +)
      }
    }
    func candidate(_ step: Int) throws -> SmoothingScales {
      try share(AWQ.scales(mean, ratio: Float(step) / Float(gridSize))).rounded(to: dtype)
    }
    func attempt(_ steps: [Int]) throws -> Int {
      for step in steps where (0...gridSize).contains(step) && known[step] == nil {
        let scales = try candidate(step)
        known[step] = (scales, try cost(scales))
      }
      return known.min { ($0.value.loss, $0.key) < ($1.value.loss, $1.key) }?.key ?? 0
    }
    let coarse = try attempt(Array(stride(from: 0, through: gridSize, by: 2)))
    let best = try attempt([coarse - 1, coarse + 1])
    guard let none = known[0], let found = known[best], found.loss < AWQ.worthwhile * none.loss else {
      return try candidate(0)
    }
    return found.scales
  }

  /// Part of the loss without scales that scales have to stay below.
  private static let worthwhile = 0.9

  /// What an input's channels are multiplied with once the source is divided by scales in a type.
  public static func divisors(_ scales: [Float], gains: [Float]?, _ dtype: DType) throws -> [Float] {
    let reciprocals = try scales.map { 1 / $0 }.rounded(to: dtype)
    guard let gains else { return reciprocals }
    let products = try zip(gains, reciprocals).map { $0 * $1 }.rounded(to: dtype)
    return products.indices.map { gains[$0] == 0 ? reciprocals[$0] : products[$0] / gains[$0] }
  }

  /// A weight cut to the range whose rounding costs the outputs least, each group of a row for itself, from the whole
  /// range down to half of it; rows that gain nothing stay as they are.
  ///
  /// - Parameter weight: [outputs, inputs], with its scales, in its type.
  public func clipped(
    _ weight: Matrix, dtype: DType, _ rounding: WeightRounding, _ loss: OutputLoss
  ) throws -> Matrix {
    let size = rounding.scheme.groupSize == 0 ? weight.columns : rounding.scheme.groupSize
    var best = try loss.groups(rounding(weight, dtype) - weight, size: size)
    var cut = weight
    for step in 1...10 {
      let narrow = try weight.clamping(groups: size, to: 1 - Float(step) / 20, dtype)
      let found = try loss.groups(rounding(narrow, dtype) - weight, size: size)
      for place in best.indices where found[place] < best[place] {
        best[place] = found[place]
        let range = place * size..<(place + 1) * size
        cut.values.replaceSubrange(range, with: narrow.values[range])
      }
    }
    let before = try loss.rows(rounding(weight, dtype) - weight)
    let after = try loss.rows(rounding(cut, dtype) - weight)
    for row in before.indices where after[row] >= before[row] {
      let range = row * weight.columns..<(row + 1) * weight.columns
      cut.values.replaceSubrange(range, with: weight.values[range])
    }
    return cut
  }

  static func scales(_ mean: [Float], ratio: Float) -> [Float] {
    let powers = mean.map { max(powf($0, ratio), 1e-4) }
    let middle = sqrtf((powers.max() ?? 1) * (powers.min() ?? 1))
    return powers.map { power in
      let scale = power / middle
      return scale.isFinite ? scale : 1
    }
  }
}

/// How a search rounds weights.
public struct WeightRounding {
  let scheme: any LinearScheme
  let method: WeightMethod

  public init(_ scheme: any LinearScheme, _ method: WeightMethod) {
    self.scheme = scheme
    self.method = method
  }

  /// What is left of a weight in a type.
  func callAsFunction(_ weight: Matrix, _ dtype: DType) throws -> Matrix {
    try RoundTrip.weight(weight, dtype, scheme, method)
  }
}

extension Matrix {
  /// Each run of `size` elements of a row cut to a share of its least and greatest, and zero, in a type.
  fileprivate func clamping(groups size: Int, to share: Float, _ dtype: DType) throws -> Matrix {
    var result = self
    result.values.withUnsafeMutableBufferPointer { values in
      for start in stride(from: 0, to: values.count, by: size) {
        var (low, high) = (Float(0), Float(0))
        for index in start..<start + size {
          low = min(low, values[index])
          high = max(high, values[index])
        }
        low = WeightCodes.round(low * share, to: dtype)
        high = WeightCodes.round(high * share, to: dtype)
        for index in start..<start + size { values[index] = min(max(values[index], low), high) }
      }
    }
    return result
  }
}
