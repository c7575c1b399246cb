internal import CKernels
import Tensors

/// Codes found one column after the other, the error of each made good by the columns that follow, as far as the
/// layer's inputs are alike.
///
/// Source: Frantar et al. 2022, with the defaults of msModelSlim.
public struct GPTQ: Sendable, Equatable {
  /// What is added to the diagonal, as a share of its mean.
  public var damping: Float
  /// Columns after which the error reaches all others.
  public var blockSize: Int

  public init(damping: Float = 0.01, blockSize: Int = 128) {
    self.damping = damping
    self.blockSize = blockSize
  }

  /// Codes and scales of a weight.
  ///
  /// - Parameters:
  ///   - weight: [outputs, inputs], values of `dtype`.
  ///   - factor: of the layer's inputs.
  ///   - group: inputs that share a scale; 0 when all do.
  /// - Throws: ``ErrorCode/weights`` when the weight or the inputs hold NaN or infinity.
  func solve(
    _ weight: LinearWeight, _ matrix: Matrix, _ factor: InverseFactor, _ grid: WholeGrid, _ threads: KernelThreads
  ) throws -> StoredCodes {
    let columns = matrix.columns
    var rest = matrix
    rest.values.withUnsafeMutableBufferPointer { rest in
      for column in factor.unused { for row in 0..<matrix.rows { rest[row * columns + column] = 0 } }
    }
    var found = RoundingState(weight, grid)
    if grid.group == 0 { try found.scale(matrix, 0..<columns, threads) }
    for start in stride(from: 0, to: columns, by: blockSize) {
      let end = min(start + blockSize, columns)
      if grid.group > 0 {
        for first in start..<end where first % grid.group == 0 {
          try found.scale(rest, first..<first + grid.group, threads)
        }
      }
      var errors = try found.round(&rest, start..<end, factor.matrix, threads)
      guard end < columns else { break }
      errors.scale(by: -1)
      let influence = try PackedMatrix(factor.matrix.part(start..<end, end..<columns), threads)
      try rest.add(errors.all, influence, row: 0, column: end, threads)
    }
    return found.codes
  }
}

/// Whole numbers that weights are rounded to.
struct WholeGrid {
  let bits: Int
  /// Columns that share a scale; 0 when all do.
  let group: Int
  let isSymmetric: Bool

  var low: Float { Float(-(1 << (bits - 1))) }
  var high: Float { Float(1 << (bits - 1) - 1) }
}

/// Codes and scales of a weight as far as they are found.
private struct RoundingState {
  private let weight: LinearWeight
  private let grid: WholeGrid
  private let size: Int
  private let groups: Int
  private var numbers: [UInt8]
  private var scales: [Float]
  private var offsets: [Float]

  init(_ weight: LinearWeight, _ grid: WholeGrid) {
    self.weight = weight
    self.grid = grid
    size = grid.group == 0 ? weight.columns : grid.group
    groups = weight.columns / size
    numbers = [UInt8](repeating: 0, count: weight.rows * weight.columns)
    scales = [Float](repeating: 0, count: weight.rows * groups)
    offsets = scales
  }

  var codes: StoredCodes { StoredCodes(codes: numbers, scales: scales, offsets: offsets) }

  /// The scales of a group of columns by their range.
  mutating func scale(_ matrix: Matrix, _ range: Range<Int>, _ threads: KernelThreads) throws {
    func round(_ value: Float) -> Float { WeightCodes.round(value, to: weight.dtype) }
    let (steps, least) = (Float(1 << grid.bits - 1), round(.ulpOfOne))
    let found = try mapInParallel(threads.count, threads: threads.count) { thread in
      try matrix.values.withUnsafeBufferPointer { values in
        try (thread * matrix.rows / threads.count..<(thread + 1) * matrix.rows / threads.count).map { row in
          let first = row * matrix.columns
          let part = UnsafeBufferPointer(rebasing: values[first + range.lowerBound..<first + range.upperBound])
          let (low, high, sum) = part.reduce((Float(0), Float(0), Float(0))) {
            (min($0.0, $1), max($0.1, $1), $0.2 + $1 * 0)
          }
          guard sum == 0 else { throw WeightCodes.notFinite(weight) }
          return (low: low, high: high)
        }
      }
    }
    for (row, bounds) in found.joined().enumerated() {
      let place = row * groups + range.lowerBound / size
      if grid.isSymmetric {
        scales[place] = max(round(max(-bounds.low, bounds.high) / grid.high), least)
      } else {
        scales[place] = max(round(round(bounds.high / steps) - round(bounds.low / steps)), least)
        offsets[place] = round((-bounds.low / scales[place]).rounded(.toNearestOrEven)) + grid.low
      }
    }
  }

  /// Finds the codes of a block's columns, and returns the errors [rows, columns of the block].
  mutating func round(
    _ rest: inout Matrix, _ range: Range<Int>, _ factor: Matrix, _ threads: KernelThreads
  ) throws -> Matrix {
    let columns = rest.columns
    var errors = Matrix(zeros: rest.rows, range.count)
    var arguments = bk_rounding()
    (arguments.rows, arguments.columns, arguments.first) = (rest.rows, range.count, range.lowerBound)
    (arguments.scale_stride, arguments.group) = (groups, size)
    (arguments.low, arguments.high) = (grid.low, grid.high)
    (arguments.w_stride, arguments.factor_stride, arguments.codes_stride) = (columns, columns, columns)
    let (scales, offsets) = (scales, offsets)
    let status = errors.values.withUnsafeMutableBufferPointer { errors in
      numbers.withUnsafeMutableBytes { numbers in
        rest.values.withUnsafeMutableBufferPointer { rest in
          RoundingState.withPointers(factor.values, scales, offsets) { factor, scales, offsets in
            arguments.errors = errors.baseAddress
            arguments.codes = numbers.baseAddress.map { ($0 + range.lowerBound).assumingMemoryBound(to: Int8.self) }
            arguments.w = rest.baseAddress.map { $0 + range.lowerBound }
            arguments.factor = factor + range.lowerBound * (columns + 1)
            (arguments.scales, arguments.offsets) = (scales, offsets)
            return bk_quant_spreading(threads.pool, &arguments)
          }
        }
      }
    }
    guard status != Int32(BK_ENUMBER) else { throw WeightCodes.notFinite(weight) }
    try check(status)
    return errors
  }

  private static func withPointers<Result>(
    _ a: [Float], _ b: [Float], _ c: [Float],
    _ body: (UnsafePointer<Float>, UnsafePointer<Float>, UnsafePointer<Float>) -> Result
  ) -> Result { body(a, b, c) }
}
