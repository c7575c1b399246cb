import Tensors

/// What a change of a layer's weight costs: the mean squared change of its outputs over all inputs that were observed,
/// without running the layer.
public struct OutputLoss {
  /// [inputs, inputs].
  private let moments: Matrix
  private let packed: PackedMatrix
  let threads: KernelThreads

  public init(_ moments: SecondMoments, _ threads: KernelThreads) throws { try self.init(moments.matrix, threads) }

  private init(_ moments: Matrix, _ threads: KernelThreads) throws {
    self.moments = moments
    packed = try PackedMatrix(moments.all, threads)
    self.threads = threads
  }

  /// The same when each input is multiplied with a factor.
  public func scaled(by factors: [Float]) throws -> OutputLoss {
    try OutputLoss(moments.scalingColumns(factors).transposed.scalingColumns(factors), threads)
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

  /// For each output and each run of `size` inputs, as if only they were changed. [outputs, groups].
  func groups(_ change: Matrix, size: Int) throws -> [Double] {
    guard size < inputs else { return try rows(change) }
    let groups = inputs / size
    var result = [Double](repeating: 0, count: change.rows * groups)
    for group in 0..<groups {
      let range = group * size..<(group + 1) * size
      let part = change.part(0..<change.rows, range)
      let dots = try part.times(moments.part(range, range), threads).rowDots(change, from: range.lowerBound)
      for row in dots.indices { result[row * groups + group] = dots[row] }
    }
    return result
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
