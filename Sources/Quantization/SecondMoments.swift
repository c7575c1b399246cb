internal import CKernels
import Glibc
import Tensors

/// `2/n · XᵀX` of all inputs X of a layer: how alike its channels are. [inputs, inputs], in float32.
public struct SecondMoments: Sendable {
  private var matrix: Matrix
  private var count: Float = 0

  public init(inputs: Int) { matrix = Matrix(zeros: inputs, inputs) }

  /// Whether anything was observed.
  public var isEmpty: Bool { count == 0 }

  /// Takes in rows of inputs.
  public mutating func observe(_ rows: Matrix, _ threads: KernelThreads) throws {
    guard rows.rows > 0 else { return }
    let size = matrix.columns
    let total = count + Float(rows.rows)
    let share = sqrtf(2 / total)
    let scaled = rows.values.map { $0 * share }
    var product = [Float](repeating: 0, count: size * size)
    try scaled.withUnsafeBufferPointer { x in
      try product.withUnsafeMutableBufferPointer { product in
        let a = bk_matrix(data: x.baseAddress, batch: 0, row: 1, column: size)
        let b = bk_matrix(data: x.baseAddress, batch: 0, row: size, column: 1)
        try check(bk_matmul_f32(threads.pool, 1, size, size, rows.rows, a, b, product.baseAddress, 0, size))
      }
    }
    let kept = count / total
    matrix.values.withUnsafeMutableBufferPointer { values in
      for index in values.indices { values[index] = values[index] * kept + product[index] }
    }
    count = total
  }

  /// The upper triangular U with `UᵀU` the inverse of the damped matrix. Inputs that were always zero get the identity,
  /// and their columns of `weight` become zero.
  func inverseFactor(
    damping: Float, clearing weight: inout Matrix, module: String, _ threads: KernelThreads
  ) throws -> Matrix {
    let size = matrix.columns
    var damped = matrix
    for index in 0..<size where damped.values[index * size + index] == 0 {
      damped.values[index * size + index] = 1
      for row in 0..<weight.rows { weight.values[row * size + index] = 0 }
    }
    let diagonal = (0..<size).reduce(0.0) { $0 + Double(damped.values[$1 * size + $1]) }
    let damp = damping * Float(diagonal / Double(size))
    for index in 0..<size { damped.values[index * size + index] += damp }
    // With rows and columns in reverse order the inverse's upper factor is the inverse of a lower factor.
    damped.values.reverse()
    guard try damped.factorLower(threads) else {
      throw BessemerError(
        .modelInput, "the inputs of \(quoted(module)) cannot be told apart even with damping; give more data")
    }
    var result = try damped.inverseOfLower(threads)
    result.values.reverse()
    return result
  }
}

extension Matrix {
  /// Rows and columns that are worked on at once.
  private static let block = 96

  /// Replaces a symmetric matrix by its lower triangular factor L, `L · Lᵀ`, zeros above. False when it is not positive
  /// definite.
  mutating func factorLower(_ threads: KernelThreads) throws -> Bool {
    let size = rows
    for start in stride(from: 0, to: size, by: Matrix.block) {
      let end = min(start + Matrix.block, size)
      guard factorDiagonal(start..<end) else { return false }
      let below = size - end
      guard below > 0 else { break }
      let width = end - start
      let inverse = inverseOfDiagonal(start..<end)
      var panel = [Float](repeating: 0, count: below * width)
      try panel.withUnsafeMutableBufferPointer { panel in
        try values.withUnsafeBufferPointer { values in
          try inverse.withUnsafeBufferPointer { inverse in
            let a = bk_matrix(data: values.baseAddress! + end * size + start, batch: 0, row: size, column: 1)
            let b = bk_matrix(data: inverse.baseAddress, batch: 0, row: 1, column: width)
            try check(bk_matmul_f32(threads.pool, 1, below, width, width, a, b, panel.baseAddress, 0, width))
          }
        }
      }
      for row in 0..<below {
        for column in 0..<width { values[(end + row) * size + start + column] = panel[row * width + column] }
      }
      // What is left, in strips as wide as it is worth to leave the upper half out.
      for first in stride(from: 0, to: below, by: 512) {
        let (height, strip) = (below - first, min(512, below - first))
        var product = [Float](repeating: 0, count: height * strip)
        try product.withUnsafeMutableBufferPointer { product in
          try panel.withUnsafeBufferPointer { panel in
            let left = panel.baseAddress! + first * width
            let a = bk_matrix(data: left, batch: 0, row: width, column: 1)
            let b = bk_matrix(data: left, batch: 0, row: 1, column: width)
            try check(bk_matmul_f32(threads.pool, 1, height, strip, width, a, b, product.baseAddress, 0, strip))
          }
        }
        values.withUnsafeMutableBufferPointer { values in
          for row in 0..<height {
            let target = values.baseAddress! + (end + first + row) * size + end + first
            for column in 0..<strip { target[column] -= product[row * strip + column] }
          }
        }
      }
    }
    for row in 0..<size { for column in row + 1..<max(size, row + 1) { values[row * size + column] = 0 } }
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
  private func inverseOfDiagonal(_ range: Range<Int>) -> [Float] {
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
    return result.map { Float($0) }
  }

  /// The inverse of a lower triangular matrix.
  func inverseOfLower(_ threads: KernelThreads) throws -> Matrix {
    let size = rows
    var result = Matrix(zeros: size, size)
    for start in stride(from: 0, to: size, by: Matrix.block) {
      let end = min(start + Matrix.block, size)
      let width = end - start
      let inverse = inverseOfDiagonal(start..<end)
      for row in 0..<width {
        for column in 0...row { result.values[(start + row) * size + start + column] = inverse[row * width + column] }
      }
      guard start > 0 else { continue }
      var (inner, outer) = ([Float](repeating: 0, count: width * start), [Float](repeating: 0, count: width * start))
      try values.withUnsafeBufferPointer { values in
        try result.values.withUnsafeBufferPointer { result in
          try inner.withUnsafeMutableBufferPointer { inner in
            let a = bk_matrix(data: values.baseAddress! + start * size, batch: 0, row: size, column: 1)
            let b = bk_matrix(data: result.baseAddress, batch: 0, row: size, column: 1)
            try check(bk_matmul_f32(threads.pool, 1, width, start, start, a, b, inner.baseAddress, 0, start))
          }
        }
      }
      try inverse.withUnsafeBufferPointer { inverse in
        try inner.withUnsafeBufferPointer { inner in
          try outer.withUnsafeMutableBufferPointer { outer in
            let a = bk_matrix(data: inverse.baseAddress, batch: 0, row: width, column: 1)
            let b = bk_matrix(data: inner.baseAddress, batch: 0, row: start, column: 1)
            try check(bk_matmul_f32(threads.pool, 1, width, start, width, a, b, outer.baseAddress, 0, start))
          }
        }
      }
      for row in 0..<width {
        for column in 0..<start { result.values[(start + row) * size + column] = -outer[row * start + column] }
      }
    }
    return result
  }
}
