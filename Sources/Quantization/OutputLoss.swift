import Tensors

/// What a change of a layer's weight costs: the mean squared change of its outputs over all inputs that were observed,
/// without running the layer.
public struct OutputLoss {
  /// [inputs, inputs].
  private let moments: Matrix
  private let packed: PackedMatrix
  let threads: KernelThreads

  public init(_ moments: SecondMoments, _ threads: KernelThreads) throws {
    self.moments = try moments.matrix
    packed = try PackedMatrix(self.moments.all, threads)
    self.threads = threads
  }

  var inputs: Int { moments.columns }

  /// Half the gradient by each element of a change [outputs, inputs].
  func gradient(_ change: Matrix) throws -> Matrix {
    var result = Matrix(zeros: change.rows, change.columns)
    try result.add(change.all, packed, row: 0, column: 0, threads)
    return result
  }

  /// For each output.
  func rows(_ change: Matrix) throws -> [Double] { try gradient(change).rowDots(change) }

  /// The gradient's columns in a range, on one thread.
  func gradient(_ change: Matrix, _ range: Range<Int>) throws -> Matrix {
    // Panels of the factor begin at multiples of 16.
    let first = range.lowerBound / 16 * 16
    var result = Matrix(zeros: change.rows, range.upperBound - first)
    try result.add(
      change.all, packed, skipping: first, count: result.columns, row: 0, column: 0, KernelThreads(1))
    return result
  }

  /// What steps [n · outputs, range] each add to the costs of outputs whose change is known: below zero for a gain.
  func gains(_ steps: Matrix, _ change: Matrix, _ range: Range<Int>) throws -> [Double] {
    let slope = try gradient(change, range)
    let own =
      range.count == inputs
      ? try gradient(steps, range) : try steps.all.times(moments.part(range, range), KernelThreads(1))
    let (width, skipped) = (slope.columns, slope.columns - range.count)
    return steps.values.withUnsafeBufferPointer { steps in
      slope.values.withUnsafeBufferPointer { slope in
        own.values.withUnsafeBufferPointer { own in
          (0..<steps.count / range.count).map { row in
            var sum = 0.0
            let (place, line) = (row * range.count, (row % change.rows) * width + skipped)
            for index in 0..<range.count {
              sum += Double(steps[place + index]) * Double(2 * slope[line + index] + own[place + index])
            }
            return sum
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
}
