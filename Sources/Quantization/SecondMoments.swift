internal import CKernels
import Tensors

/// `2/n · XᵀX` of all inputs X of a layer: how alike its channels are. [inputs, inputs], in float32.
public struct SecondMoments: Sendable {
  /// On and above the diagonal.
  private var upper: Matrix
  private var count: Float = 0
  /// Rows that are not taken in yet: each time the whole triangle is read and written.
  private var waiting: [Float] = []
  private var threads: KernelThreads?

  public init(inputs: Int) { upper = Matrix(zeros: inputs, inputs) }

  /// Those whose ``triangle`` is known; nothing is taken in any more.
  public init(inputs: Int, triangle: [Float]) {
    precondition(triangle.count == inputs * (inputs + 1) / 2, "a triangle of another size")
    self.init(inputs: inputs)
    var start = 0
    for row in 0..<inputs {
      let place = row * inputs + row
      upper.values.replaceSubrange(place..<place + inputs - row, with: triangle[start..<start + inputs - row])
      start += inputs - row
    }
    count = 1
  }

  /// The elements on and above the diagonal, row by row.
  public var triangle: [Float] {
    get throws {
      let upper = try complete()
      var all: [Float] = []
      all.reserveCapacity(inputs * (inputs + 1) / 2)
      for row in 0..<inputs { all += upper.values[row * inputs + row..<(row + 1) * inputs] }
      return all
    }
  }

  /// Whether anything was observed.
  public var isEmpty: Bool { count == 0 && waiting.isEmpty }
  public var inputs: Int { upper.columns }

  /// Rows of the triangle that are added to at once.
  private static let strip = 512

  /// Inputs from which on rows wait until they are an eighth as many; triangles of fewer stay in a cache.
  private static let large = 1024

  /// Takes in rows of inputs.
  public mutating func observe(_ rows: Matrix, _ threads: KernelThreads) throws {
    waiting += rows.values
    self.threads = threads
    if inputs < SecondMoments.large || 8 * waiting.count >= inputs * inputs { try takeIn() }
  }

  private mutating func takeIn() throws {
    guard let threads, !waiting.isEmpty else { return }
    var scaled = Matrix(rows: waiting.count / inputs, columns: inputs, values: waiting)
    waiting = []
    let total = count + Float(scaled.rows)
    scaled.scale(by: Float((2 / Double(total)).squareRoot()), threads)
    let (left, right) = (scaled.transposed, try PackedMatrix(scaled.all, threads))
    if count > 0 { upper.scale(by: count / total, threads) }
    for first in stride(from: 0, to: inputs, by: SecondMoments.strip) {
      let part = first..<min(first + SecondMoments.strip, inputs)
      try upper.add(left.part(part, 0..<scaled.rows), right, skipping: first, row: first, column: first, threads)
    }
    count = total
  }

  private func complete() throws -> Matrix {
    var all = self
    try all.takeIn()
    return all.upper
  }

  /// The whole matrix.
  public var matrix: Matrix {
    get throws {
      let upper = try complete()
      var whole = upper.transposed
      whole.values.withUnsafeMutableBufferPointer { whole in
        upper.values.withUnsafeBufferPointer { upper in
          for row in 0..<inputs {
            for index in row * inputs + row..<(row + 1) * inputs { whole[index] = upper[index] }
          }
        }
      }
      return whole
    }
  }

  /// What makes up for errors, see ``GPTQ``.
  func inverseFactor(damping: Float, module: String, _ threads: KernelThreads) throws -> InverseFactor {
    let size = inputs
    var damped = try complete()
    let unused = (0..<size).filter { damped.values[$0 * size + $0] == 0 }
    for index in unused { damped.values[index * size + index] = 1 }
    let diagonal = (0..<size).map { damped.values[$0 * size + $0] }
    let damp = damping * (diagonal.withUnsafeBufferPointer(CascadeSum.sum) / Float(size))
    for index in 0..<size { damped.values[index * size + index] += damp }
    // With rows and columns in reverse order the inverse's upper factor is the inverse of a lower factor.
    damped.values.reverse()
    guard try damped.factorLower(threads) else {
      throw BessemerError(
        .modelInput, "the inputs of \(quoted(module)) cannot be told apart even with damping; give more data")
    }
    var result = try damped.inverseOfLower(threads)
    result.values.reverse()
    return InverseFactor(matrix: result, unused: unused)
  }
}

/// The upper triangular U with `UᵀU` the inverse of damped second moments.
struct InverseFactor {
  let matrix: Matrix
  /// Inputs that were always zero: the identity in U.
  let unused: [Int]
}
