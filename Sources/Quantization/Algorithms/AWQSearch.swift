public import Tensors

/// AWQ for the layers that read one value: scales, and the range of each group of weights, chosen by what rounding
/// costs the layers' outputs.
///
/// Source: Lin et al. 2023 and its implementation AutoAWQ. Ranges are chosen one group after the other, each for what
/// the groups of its row have become so far, so that every choice lowers the cost of the whole row.
public struct AWQSearch {
  private let awq: AWQ
  private let rounding: WeightRounding
  private let loss: OutputLoss
  private let dtype: DType
  private let gains: [Float]?

  /// - Parameters:
  ///   - dtype: of the weights.
  ///   - gains: of a norm that is the source.
  public init(_ awq: AWQ, _ rounding: WeightRounding, _ loss: OutputLoss, dtype: DType, gains: [Float]?) {
    (self.awq, self.rounding, self.loss) = (awq, rounding, loss)
    (self.dtype, self.gains) = (dtype, gains)
  }

  /// Part of the cost without scales that scales have to stay below: a gain that is small on the data at hand is none
  /// on other data.
  private static let worthwhile = 0.9
  /// Rows of each weight, spread over it, that scales are chosen by.
  private static let sampledRows = 128
  /// Rows that are worked on at once, which bounds memory.
  private static let chunk = 64
  /// Shares of their ranges that weights are cut to.
  private static let shares = (1...10).map { 1 - Float($0) / 20 }

  /// Scales for the layers; ones where no others are worthwhile.
  ///
  /// What they are divided by at the source is taken as it is after rounding. Of the grid, here with r = 1, every other
  /// step is tried, then those beside the best.
  ///
  /// - Parameters:
  ///   - mean: the mean magnitude of each channel.
  ///   - weights: of the readers, [outputs, inputs].
  ///   - share: makes scales for the channels that are read those that the source can have.
  public func scales(
    mean: [Float], weights: [Matrix], share: ([Float]) throws -> SmoothingScales
  ) throws -> SmoothingScales {
    var known: [Int: (scales: SmoothingScales, cost: Double)] = [:]
    let samples = weights.flatMap { $0.spread(AWQSearch.sampledRows).chunks(AWQSearch.chunk) }
    func attempt(_ steps: [Int]) throws -> Int {
      let new = try steps.filter { (0...awq.gridSize).contains($0) && known[$0] == nil }.map { step in
        (step, try share(AWQ.scales(mean, ratio: Double(step) / Double(awq.gridSize))).rounded(to: dtype))
      }
      let costs = try mapInParallel(new.count * samples.count, threads: loss.threads.count) { index in
        let (step, sample) = (index / samples.count, index % samples.count)
        return try cost(samples[sample], new[step].1.read)
      }
      for (place, (step, scales)) in new.enumerated() {
        known[step] = (scales, costs[place * samples.count..<(place + 1) * samples.count].reduce(0, +))
      }
      return known.min { ($0.value.cost, $0.key) < ($1.value.cost, $1.key) }?.key ?? 0
    }
    let coarse = try attempt(Array(stride(from: 0, through: awq.gridSize, by: 2)))
    let best = try attempt([coarse - 1, coarse + 1])
    guard let none = known[0], let found = known[best] else { preconditionFailure("a grid without steps") }
    return found.cost < AWQSearch.worthwhile * none.cost ? found.scales : none.scales
  }

  /// What rounding rows costs their outputs, with scales.
  private func cost(_ rows: Matrix, _ scales: [Float]) throws -> Double {
    let change = try rounded(rows, scales, cuts: false).change
    return try loss.rows(change, KernelThreads(1)).reduce(0, +)
  }

  /// A weight with its scales, in its type, and each group cut to the range whose rounding costs least, from the whole
  /// range down to half of it.
  ///
  /// - Parameter weight: [outputs, inputs].
  public func fitted(_ weight: Matrix, _ scales: [Float]) throws -> Matrix {
    let chunks = weight.chunks(AWQSearch.chunk)
    let parts = try mapInParallel(chunks.count, threads: loss.threads.count) {
      try rounded(chunks[$0], scales, cuts: awq.cuts).weight
    }
    return Matrix(rows: weight.rows, columns: weight.columns, values: parts.flatMap(\.values))
  }

  /// Rows with their scales, and what rounding changes of them without.
  private func rounded(_ rows: Matrix, _ scales: [Float], cuts: Bool) throws -> (weight: Matrix, change: Matrix) {
    let divisors = try AWQ.divisors(scales, gains: gains, dtype)
    func change(_ scaled: Matrix) throws -> Matrix { try rounding(scaled, dtype).scalingColumns(divisors) - rows }
    var weight = try rows.scalingColumns(scales).rounded(to: dtype)
    var found = try change(weight)
    guard cuts else { return (weight, found) }
    let size = rounding.scheme.groupSize == 0 ? rows.columns : rounding.scheme.groupSize
    let narrow = try AWQSearch.shares.map { try weight.clamping(groups: size, to: $0, dtype) }
    let changes = try narrow.map(change)
    for start in stride(from: 0, to: rows.columns, by: size) {
      let range = start..<start + size
      let gains = try loss.gains(changes, over: found, range)
      for row in 0..<rows.rows {
        guard let best = gains.indices.min(by: { gains[$0][row] < gains[$1][row] }), gains[best][row] < 0 else {
          continue
        }
        let place = row * rows.columns + start..<row * rows.columns + start + size
        weight.values.replaceSubrange(place, with: narrow[best].values[place])
        found.values.replaceSubrange(place, with: changes[best].values[place])
      }
    }
    return (weight, found)
  }
}

/// How a search rounds weights.
public struct WeightRounding {
  public let scheme: any LinearScheme
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
  /// So many rows, spread evenly.
  fileprivate func spread(_ count: Int) -> Matrix {
    guard count < rows else { return self }
    var chosen: [Float] = []
    for index in 0..<count {
      let first = index * rows / count * columns
      chosen += values[first..<first + columns]
    }
    return Matrix(rows: count, columns: columns, values: chosen)
  }

  /// Runs of at most so many rows.
  fileprivate func chunks(_ size: Int) -> [Matrix] {
    stride(from: 0, to: rows, by: size).map { first in
      let last = min(first + size, rows)
      return Matrix(
        rows: last - first, columns: columns, values: Array(values[first * columns..<last * columns]))
    }
  }

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
