import Tensors

/// An orthogonal matrix R that channels are multiplied with.
public protocol ChannelRotation: Sendable {
  /// Channels that are rotated together.
  var size: Int { get }
  /// `x · R` for each run of ``size`` elements.
  func rotate(_ values: inout [Float]) throws
  /// `W · R`, for columns that are a multiple of ``size``.
  func rotateColumns(_ matrix: inout Matrix) throws
  /// `Rᵀ · W` for a matrix whose rows are a multiple of ``size``: each run of rows for itself.
  func rotateRows(_ matrix: inout Matrix) throws
}

extension ChannelRotation {
  public func rotateColumns(_ matrix: inout Matrix) throws { try rotate(&matrix.values) }

  public func rotateRows(_ matrix: inout Matrix) throws {
    let columns = matrix.columns
    var line = [Float](repeating: 0, count: matrix.rows)
    for column in 0..<columns {
      for row in 0..<matrix.rows { line[row] = matrix.values[row * columns + column] }
      // Rᵀ x is x · R, written down.
      try rotate(&line)
      for row in 0..<matrix.rows { matrix.values[row * columns + column] = line[row] }
    }
  }

  /// The matrix for so many channels, a multiple of ``size``: [channels, channels].
  public func matrix(_ channels: Int) throws -> Matrix {
    var result = Matrix(identity: channels)
    try rotateColumns(&result)
    return result
  }
}

/// Two rotations of blocks, between them all channels moved on by 16, so that blocks mix. Source: msModelSlim's
/// `BLOCK_HADAMARD_SHIFTED`.
public struct ShiftedRotation: ChannelRotation {
  private static let shift = 16

  public let size: Int
  private let block: HadamardRotation

  /// Nil for a size that is no multiple of the block's.
  public init?(size: Int, block: Int) {
    guard let rotation = HadamardRotation(size: block), size % block == 0, size >= ShiftedRotation.shift else {
      return nil
    }
    (self.size, self.block) = (size, rotation)
  }

  public func rotate(_ values: inout [Float]) {
    block.rotate(&values)
    for start in stride(from: 0, to: values.count, by: size) {
      let run = Array(values[start..<start + size])
      for index in run.indices { values[start + (index + ShiftedRotation.shift) % size] = run[index] }
    }
    block.rotate(&values)
  }
}

/// Any orthogonal matrix, as a product of matrices; sums are rounded as PyTorch's are.
public struct DenseRotation: ChannelRotation {
  private let rotation: Matrix
  private let threads: KernelThreads

  /// - Parameter rotation: [size, size].
  public init(_ rotation: Matrix, _ threads: KernelThreads) { (self.rotation, self.threads) = (rotation, threads) }

  public var size: Int { rotation.rows }

  public func rotate(_ values: inout [Float]) throws {
    let rows = Matrix(rows: values.count / size, columns: size, values: values)
    values = try rows.all.times(rotation.all, threads).values
  }

  public func rotateRows(_ matrix: inout Matrix) throws {
    for start in stride(from: 0, to: matrix.rows, by: size) {
      let part = matrix.part(start..<start + size, 0..<matrix.columns)
      matrix.set(try rotation.all.transposed.times(part, threads), row: start, column: 0)
    }
  }
}
