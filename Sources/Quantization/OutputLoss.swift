import Tensors

/// What a change of a layer's weight costs: the mean squared change of its outputs over all inputs that were observed,
/// without running the layer.
public struct OutputLoss {
  /// Columns of the moments with what stands above them; as the whole is symmetric the rest need not be multiplied.
  private struct Strip {
    let range: Range<Int>
    let above: PackedMatrix
    let own: PackedMatrix
  }

  /// [inputs, inputs].
  private let moments: Matrix
  /// For gradients.
  private let packed: PackedMatrix?
  /// For costs.
  private let strips: [Strip]
  let threads: KernelThreads

  private static let width = 512

  /// - Parameters:
  ///   - costs: whether ``rows(_:_:)`` and ``gains(_:_:_:)`` of all columns will be asked for.
  ///   - gradients: whether ``gradient(_:)`` and ``gains(_:_:_:)`` of some columns will be.
  public init(
    _ moments: SecondMoments, _ threads: KernelThreads, costs: Bool = true, gradients: Bool = true
  ) throws {
    let matrix = try moments.matrix
    let size = matrix.columns
    self.moments = matrix
    self.threads = threads
    packed = gradients ? try PackedMatrix(matrix.all, threads) : nil
    strips = try stride(from: 0, to: costs ? size : 0, by: OutputLoss.width).map { first in
      let range = first..<min(first + OutputLoss.width, size)
      return Strip(
        range: range, above: try PackedMatrix(matrix.part(0..<first, range), threads),
        own: try PackedMatrix(matrix.part(range, range), threads))
    }
  }

  var inputs: Int { moments.columns }

  /// For each output of a change [outputs, inputs].
  func rows(_ change: Matrix, _ threads: KernelThreads? = nil) throws -> [Double] {
    precondition(!strips.isEmpty || inputs == 0, "costs were not asked for")
    let threads = threads ?? self.threads
    var doubled = change
    doubled.scale(by: 2)
    var sums = [Double](repeating: 0, count: change.rows)
    for strip in strips {
      var product = Matrix(zeros: change.rows, strip.range.count)
      if strip.range.lowerBound > 0 {
        let left = doubled.part(0..<change.rows, 0..<strip.range.lowerBound)
        try product.add(left, strip.above, row: 0, column: 0, threads)
      }
      try product.add(change.part(0..<change.rows, strip.range), strip.own, row: 0, column: 0, threads)
      for (row, sum) in product.rowDots(change, from: strip.range.lowerBound).enumerated() { sums[row] += sum }
    }
    return sums
  }

  /// Half the gradient by each element of a change.
  func gradient(_ change: Matrix) throws -> Matrix { try gradient(change, 0..<inputs, threads) }

  /// Its columns up to the end of a range, from one before it or at its start.
  private func gradient(_ change: Matrix, _ range: Range<Int>, _ threads: KernelThreads) throws -> Matrix {
    guard let packed else { preconditionFailure("gradients were not asked for") }
    // Panels of the factor begin at multiples of 16.
    let first = range.lowerBound / 16 * 16
    var result = Matrix(zeros: change.rows, range.upperBound - first)
    try result.add(change.all, packed, skipping: first, count: result.columns, row: 0, column: 0, threads)
    return result
  }

  /// What each of some other changes would add to the cost of each output if it took the change's place in a range of
  /// columns: below zero for a gain. [others][outputs]. On one thread.
  func gains(_ others: [Matrix], over change: Matrix, _ range: Range<Int>) throws -> [[Double]] {
    let alone = KernelThreads(1)
    if range.count == inputs {
      let costs = try rows(change, alone)
      return try others.map { zip(try rows($0, alone), costs).map { $0 - $1 } }
    }
    let slope = try gradient(change, range, alone)
    let block = moments.part(range, range)
    let (width, skipped, size) = (slope.columns, slope.columns - range.count, range.count)
    return try others.map { other in
      let step = other.columns(range) - change.columns(range)
      let own = try step.all.times(block, alone)
      return step.values.withUnsafeBufferPointer { step in
        own.values.withUnsafeBufferPointer { own in
          slope.values.withUnsafeBufferPointer { slope in
            (0..<change.rows).map { row in
              var sum = 0.0
              let (place, line) = (row * size, row * width + skipped)
              for index in 0..<size {
                sum += Double(step[place + index]) * Double(2 * slope[line + index] + own[place + index])
              }
              return sum
            }
          }
        }
      }
    }
  }
}

extension Matrix {
  /// The sum of products of each row's elements with those of another's row from a column on.
  func rowDots(_ other: Matrix, from column: Int = 0) -> [Double] {
    values.withUnsafeBufferPointer { a in
      other.values.withUnsafeBufferPointer { b in
        (0..<rows).map { row in
          var sum = 0.0
          let (left, right) = (row * columns, row * other.columns + column)
          for index in 0..<columns { sum += Double(a[left + index]) * Double(b[right + index]) }
          return sum
        }
      }
    }
  }

  /// Some columns.
  func columns(_ range: Range<Int>) -> Matrix {
    guard range.count < columns else { return self }
    var found: [Float] = []
    found.reserveCapacity(rows * range.count)
    for row in 0..<rows { found += values[row * columns + range.lowerBound..<row * columns + range.upperBound] }
    return Matrix(rows: rows, columns: range.count, values: found)
  }
}
