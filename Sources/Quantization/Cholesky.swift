import Tensors

/// Triangular factors and their inverses, in blocks.
extension Matrix {
  /// Rows and columns that are worked on at once.
  private static let block = 96
  /// Rows of a triangle that one product updates.
  private static let strip = 512

  /// Replaces the lower triangle of a symmetric matrix by its factor L, `L · Lᵀ`; zeros above. False when it is not
  /// positive definite.
  mutating func factorLower(_ threads: KernelThreads) throws -> Bool {
    let size = rows
    for start in stride(from: 0, to: size, by: Matrix.block) {
      let end = min(start + Matrix.block, size)
      guard factorDiagonal(start..<end) else { return false }
      guard end < size else { break }
      let inverse = inverseOfDiagonal(start..<end)
      var panel = try part(end..<size, start..<end).times(inverse.all.transposed, threads)
      set(panel, row: end, column: start)
      let right = try PackedMatrix(panel.all.transposed, threads)
      panel.scale(by: -1)
      for first in stride(from: 0, to: size - end, by: Matrix.strip) {
        let last = min(first + Matrix.strip, size - end)
        try add(
          panel.part(first..<last, 0..<end - start), right, count: last, row: end + first, column: end, threads)
      }
    }
    values.withUnsafeMutableBufferPointer { values in
      for row in 0..<size { for index in row * size + row + 1..<(row + 1) * size { values[index] = 0 } }
    }
    return true
  }

  private mutating func factorDiagonal(_ range: Range<Int>) -> Bool {
    let size = rows
    for column in range {
      var sum = Double(values[column * size + column])
      for k in range.lowerBound..<column {
        let value = Double(values[column * size + k])
        sum -= value * value
      }
      guard sum > 0, sum.isFinite else { return false }
      let root = sum.squareRoot()
      values[column * size + column] = Float(root)
      for row in column + 1..<max(range.upperBound, column + 1) {
        var sum = Double(values[row * size + column])
        for k in range.lowerBound..<column {
          sum -= Double(values[row * size + k]) * Double(values[column * size + k])
        }
        values[row * size + column] = Float(sum / root)
      }
    }
    return true
  }

  /// The inverse of the lower triangle of a diagonal block.
  private func inverseOfDiagonal(_ range: Range<Int>) -> Matrix {
    let (size, width) = (rows, range.count)
    var result = [Double](repeating: 0, count: width * width)
    for row in 0..<width {
      let line = (range.lowerBound + row) * size + range.lowerBound
      let pivot = Double(values[line + row])
      for column in 0...row {
        var sum = row == column ? 1.0 : 0
        for k in column..<max(row, column) { sum -= Double(values[line + k]) * result[k * width + column] }
        result[row * width + column] = sum / pivot
      }
    }
    return Matrix(rows: width, columns: width, values: result.map { Float($0) })
  }

  /// The inverse of a lower triangular matrix. Rows that are not reached yet hold what the rows above add to them.
  func inverseOfLower(_ threads: KernelThreads) throws -> Matrix {
    let size = rows
    var result = Matrix(zeros: size, size)
    for start in stride(from: 0, to: size, by: Matrix.block) {
      let end = min(start + Matrix.block, size)
      var inverse = inverseOfDiagonal(start..<end)
      result.set(inverse, row: start, column: start)
      if start > 0 {
        inverse.scale(by: -1)
        let outer = try inverse.all.times(result.part(start..<end, 0..<start), threads)
        result.set(outer, row: start, column: 0)
      }
      guard end < size else { break }
      let right = try PackedMatrix(result.part(start..<end, 0..<end), threads)
      try result.add(part(end..<size, start..<end), right, row: end, column: 0, threads)
    }
    return result
  }
}
