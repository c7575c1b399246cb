public import Tensors

/// Rounds each weight up or down, and narrows the range of each group, by signed gradient descent on what that costs
/// the layer's outputs; of all that was tried each row keeps the best, rounding to nearest among it.
///
/// Source: AutoRound (Cheng et al. 2023), on second moments of the inputs instead of samples, so that nothing is
/// random.
public struct RoundingSearch: Sendable, Equatable {
  /// How often all weights move. The first move is 1 / steps, the last one near zero.
  public var steps: Int
  /// Whether weights may be rounded to another side than the nearest, and whether ranges may narrow.
  public var movesWeights = true
  public var movesRanges = true
  /// What scales are rounded to; nil for the weight's type.
  public var scaleType: DType?

  public init(steps: Int = 200) { self.steps = steps }

  /// Rows that are worked on at once, which bounds memory.
  private static let chunk = 1024

  /// - Parameters:
  ///   - matrix: the weight, [outputs, inputs], values of `dtype`.
  ///   - nearest: its codes by rounding to nearest, where the search begins.
  func solve(
    _ matrix: Matrix, _ dtype: DType, nearest: StoredCodes, _ loss: OutputLoss, _ grid: WholeGrid
  ) throws -> StoredCodes {
    var (codes, scales, offsets): ([UInt8], [Float], [Float]) = ([], [], [])
    for start in stride(from: 0, to: matrix.rows, by: RoundingSearch.chunk) {
      var rows = (start..<min(start + RoundingSearch.chunk, matrix.rows)).map { row in
        RoundedRow(
          Array(matrix.values[row * matrix.columns..<(row + 1) * matrix.columns]), grid, scaleType ?? dtype,
          nearest.rows(row..<row + 1, of: matrix.rows))
      }
      if let scaleType, scaleType != dtype {
        try RoundingSearch.forEach(&rows, loss.threads) { row, _ in row.round() }
      }
      for step in 0...steps {
        try Interrupt.check()
        let change = Matrix(rows: rows.count, columns: matrix.columns, values: rows.flatMap(\.change))
        let gradient = try loss.gradient(change)
        let costs = gradient.rowDots(change)
        let rate = Float(steps - step) / Float(steps * steps)
        try RoundingSearch.forEach(&rows, loss.threads) { row, index in
          row.keep(cost: costs[index])
          let slopes = gradient.values[index * matrix.columns..<(index + 1) * matrix.columns]
          row.move(slopes, weights: movesWeights ? rate : 0, ranges: movesRanges ? rate : 0)
          row.round()
        }
      }
      for row in rows {
        codes += row.best.codes
        scales += row.best.scales
        offsets += row.best.offsets
      }
    }
    return StoredCodes(codes: codes, scales: scales, offsets: offsets)
  }

  /// Rows do not depend on each other.
  private static func forEach(
    _ rows: inout [RoundedRow], _ threads: KernelThreads, _ body: (inout RoundedRow, Int) -> Void
  ) throws {
    try rows.withUnsafeMutableBufferPointer { rows in
      let share = (rows.count + threads.count - 1) / threads.count
      try parallel(threads.count) { thread in
        for index in min(thread * share, rows.count)..<min((thread + 1) * share, rows.count) {
          body(&rows[index], index)
        }
      }
    }
  }
}

/// A row of a weight on its way.
private struct RoundedRow {
  private let values: [Float]
  private let grid: WholeGrid
  private let dtype: DType
  private let size: Int
  /// The least and greatest of each group, and zero.
  private let ranges: [(low: Float, high: Float)]
  /// What is added to each value in steps before it is rounded, -0.5...0.5.
  private var shifts: [Float]
  /// The shares of each group's range, 0.5...1.
  private var lowShares: [Float]
  private var highShares: [Float]
  private var codes: [UInt8]
  private var scales: [Float]
  private var offsets: [Float]
  /// What rounding changes.
  private(set) var change: [Float]
  private var cost = Double.infinity
  private(set) var best = StoredCodes(codes: [], scales: [], offsets: [])

  init(_ values: [Float], _ grid: WholeGrid, _ dtype: DType, _ nearest: StoredCodes) {
    (self.values, self.grid, self.dtype) = (values, grid, dtype)
    size = grid.group == 0 ? values.count : grid.group
    let size = size
    ranges = stride(from: 0, to: values.count, by: size).map { first in
      values[first..<first + size].reduce((low: Float(0), high: Float(0))) { (min($0.low, $1), max($0.high, $1)) }
    }
    shifts = [Float](repeating: 0, count: values.count)
    change = shifts
    lowShares = [Float](repeating: 1, count: ranges.count)
    highShares = lowShares
    (codes, scales) = (nearest.codes, nearest.scales)
    offsets = grid.isSymmetric ? [Float](repeating: 0, count: ranges.count) : nearest.offsets
    for index in values.indices {
      change[index] =
        (Float(Int8(bitPattern: codes[index])) - offsets[index / size]) * scales[index / size] - values[index]
    }
  }

  private func rounded(_ value: Float) -> Float { WeightCodes.round(value, to: dtype) }

  /// Finds scales, codes and changes for the shifts and shares.
  mutating func round() {
    // Whole numbers below 2^22 are what is left of a float after this is added and taken off.
    let (whole, steps): (Float, Float) = (0x1.8p23, Float(1 << grid.bits - 1))
    for (group, range) in ranges.enumerated() {
      let (low, high) = (range.low * lowShares[group], range.high * highShares[group])
      if grid.isSymmetric {
        scales[group] = max(rounded(max(-range.low, range.high) * highShares[group] / grid.high), rounded(.ulpOfOne))
      } else {
        scales[group] = max(rounded(rounded(high / steps) - rounded(low / steps)), rounded(.ulpOfOne))
        offsets[group] = rounded((-low / scales[group]).rounded(.toNearestOrEven)) + grid.low
      }
      let (scale, offset) = (scales[group], offsets[group])
      for index in group * size..<(group + 1) * size {
        let place = min(max(values[index] / scale + offset + shifts[index], grid.low), grid.high)
        let code = (place + whole) - whole
        codes[index] = UInt8(bitPattern: Int8(code))
        change[index] = (code - offset) * scale - values[index]
      }
    }
  }

  mutating func keep(cost: Double) {
    guard cost < self.cost else { return }
    self.cost = cost
    best = StoredCodes(codes: codes, scales: scales, offsets: offsets)
  }

  /// Moves shifts and shares against the signs of their gradients. Rounding counts as if it were none.
  /// - Parameters:
  ///   - rate: how far shifts go, in steps.
  ///   - narrowing: how far shares go.
  mutating func move(_ gradient: ArraySlice<Float>, weights rate: Float, ranges narrowing: Float) {
    let start = gradient.startIndex
    for group in ranges.indices {
      let (scale, offset) = (scales[group], offsets[group])
      var slope: Float = 0
      for index in group * size..<(group + 1) * size {
        let (value, slant) = (values[index], gradient[start + index])
        let code = Float(Int8(bitPattern: codes[index]))
        let place = value / scale + offset + shifts[index]
        let isInside = place >= grid.low && place <= grid.high
        slope += slant * (code - offset - (isInside ? value / scale : 0))
        guard isInside, slant != 0 else { continue }
        shifts[index] = min(max(shifts[index] - (slant > 0 ? rate : -rate), -0.5), 0.5)
      }
      guard slope != 0 else { continue }
      // The scale grows with either share.
      let down = slope > 0 ? narrowing : -narrowing
      lowShares[group] = min(max(lowShares[group] - down, 0.5), 1)
      highShares[group] = min(max(highShares[group] - down, 0.5), 1)
    }
  }
}
