import Glibc
import Tensors

/// Turns a rotation in steps towards the one after which rounding each row to whole numbers loses least: every step
/// takes the orthogonal matrix that brings rows nearest to what they were rounded to.
///
/// Where there are fewer rows than channels, many rotations are equally good, and which one is found is up to the last
/// bits of sums. Source: msModelSlim's `adapt_rotation`.
public struct RotationSearch: Sendable {
  public var steps: Int
  /// Of the whole numbers.
  public var bits: Int
  /// The most rows of a layer.
  public var rows: Int

  private static let leastScale: Float = 1e-5
  /// Steps without a gain after which it ends, and steps that are made anyway.
  private static let patience = 5
  private static let leastSteps = 6
  private static let iterations = 100

  public init(steps: Int = 20, bits: Int = 4, rows: Int = 2048) {
    (self.steps, self.bits, self.rows) = (steps, bits, rows)
  }

  /// - Parameters:
  ///   - inputs: rows of each layer, [rows, channels].
  ///   - start: [channels, channels].
  public func solve(_ inputs: [Matrix], from start: Matrix, _ threads: KernelThreads) throws -> Matrix {
    let chosen = inputs.map(evenly)
    let all = Matrix(
      rows: chosen.reduce(0) { $0 + $1.rows }, columns: start.rows, values: chosen.flatMap(\.values))
    let base = try all.times(PackedMatrix(start.all, threads), threads)
    var turn = Matrix(identity: start.rows)
    var (best, least, idle) = (turn, Double.infinity, 0)
    for step in 0..<steps {
      try Interrupt.check()
      let rows = try base.times(PackedMatrix(turn.all, threads), threads)
      let product = try rows.transposed.times(PackedMatrix(rounded(rows).all, threads), threads)
      let next = try nearestRotation(product, threads)
      turn = try turn.times(PackedMatrix(next.all, threads), threads)
      let turned = try rows.times(PackedMatrix(next.all, threads), threads)
      let loss = (turned - rounded(turned)).values.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
      if loss < least {
        (best, least, idle) = (turn, loss, 0)
      } else {
        idle += 1
        if step >= RotationSearch.leastSteps, idle >= RotationSearch.patience { break }
      }
    }
    return try start.times(PackedMatrix(best.all, threads), threads)
  }

  /// Some rows of many, in equal distances.
  private func evenly(_ matrix: Matrix) -> Matrix {
    guard matrix.rows > rows else { return matrix }
    let values = (0..<rows).flatMap { index in
      let row = index * (matrix.rows - 1) / (rows - 1)
      return matrix.values[row * matrix.columns..<(row + 1) * matrix.columns]
    }
    return Matrix(rows: rows, columns: matrix.columns, values: values)
  }

  /// Each row on its own grid.
  private func rounded(_ matrix: Matrix) -> Matrix {
    let last = Float(1 << (bits - 1)) - 1
    var result = matrix
    for row in 0..<matrix.rows {
      let range = row * matrix.columns..<(row + 1) * matrix.columns
      let largest = matrix.values[range].reduce(Float(0)) { max($0, abs($1)) }
      let scale = max(largest / last, RotationSearch.leastScale)
      for index in range {
        result.values[index] =
          min(max((matrix.values[index] / scale).rounded(.toNearestOrEven), -last - 1), last) * scale
      }
    }
    return result
  }

  /// The orthogonal factor of a matrix by Newton and Schulz's iteration.
  private func nearestRotation(_ matrix: Matrix, _ threads: KernelThreads) throws -> Matrix {
    let norm = matrix.values.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
    var x = matrix
    for index in x.values.indices { x.values[index] /= Float(norm) + 1e-12 }
    for _ in 0..<RotationSearch.iterations {
      var step = try x.transposed.times(PackedMatrix(x.all, threads), threads)
      var error: Float = 0
      for index in step.values.indices {
        let own: Float = index / step.columns == index % step.columns ? 1 : 0
        error = max(error, abs(step.values[index] - own))
        step.values[index] = 3 * own - step.values[index]
      }
      for index in x.values.indices { x.values[index] *= 0.5 }
      x = try x.times(PackedMatrix(step.all, threads), threads)
      if error < 1e-6 { break }
    }
    return x
  }
}
