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
  ///   - second: what ``SecondMoments`` found of the layer's inputs.
  ///   - group: inputs that share a scale; 0 when all do.
  /// - Throws: ``ErrorCode/weights`` when the weight or the inputs hold NaN or infinity.
  func solve(
    _ weight: Matrix, _ dtype: DType, second: SecondMoments, bits: Int, group: Int, isSymmetric: Bool, module: String,
    _ threads: KernelThreads
  ) throws -> SolvedCodes {
    let columns = weight.columns
    let size = group == 0 ? columns : group
    let groups = columns / size
    var rest = weight
    let factor = try second.inverseFactor(damping: damping, clearing: &rest, module: module, threads)
    var codes = [Int8](repeating: 0, count: weight.values.count)
    var scales = [Float](repeating: 0, count: weight.rows * groups)
    var offsets = scales
    if group == 0 {
      try scale(weight, 0..<columns, 0, 1, bits, isSymmetric, dtype, module, &scales, &offsets)
    }
    let (low, high) = (Float(-(1 << (bits - 1))), Float(1 << (bits - 1) - 1))
    for start in stride(from: 0, to: columns, by: blockSize) {
      let end = min(start + blockSize, columns)
      if group > 0 {
        for first in start..<end where first % size == 0 {
          try scale(
            rest, first..<first + size, first / size, groups, bits, isSymmetric, dtype, module, &scales, &offsets)
        }
      }
      let errors = block(start..<end, &rest, factor, &codes, scales, offsets, size, groups, low, high)
      try spread(errors, from: start..<end, factor, &rest, threads)
    }
    return SolvedCodes(codes: codes, scales: scales, offsets: offsets)
  }

  /// The scales of some columns by their range.
  private func scale(
    _ weight: Matrix, _ range: Range<Int>, _ group: Int, _ groups: Int, _ bits: Int, _ isSymmetric: Bool,
    _ dtype: DType, _ module: String, _ scales: inout [Float], _ offsets: inout [Float]
  ) throws {
    func round(_ value: Float) -> Float { WeightCodes.round(value, to: dtype) }
    let steps = Float(1 << bits - 1)
    for row in 0..<weight.rows {
      var (low, high, sum) = (Float(0), Float(0), Float(0))
      for column in range {
        let value = weight.values[row * weight.columns + column]
        low = min(low, value)
        high = max(high, value)
        sum += value * 0
      }
      guard sum == 0 else {
        throw BessemerError(.weights, "the weight of \(quoted(module)) holds NaN or infinity; there is no scale for it")
      }
      let place = row * groups + group
      if isSymmetric {
        scales[place] = max(round(max(-low, high) / Float(1 << (bits - 1) - 1)), round(.ulpOfOne))
      } else {
        scales[place] = max(round(round(high / steps) - round(low / steps)), round(.ulpOfOne))
        offsets[place] = round((-low / scales[place]).rounded(.toNearestOrEven)) - Float(1 << (bits - 1))
      }
    }
  }

  /// Finds the codes of a block's columns, each row on its own, and returns the errors [rows, columns of the block].
  private func block(
    _ range: Range<Int>, _ rest: inout Matrix, _ factor: Matrix, _ codes: inout [Int8], _ scales: [Float],
    _ offsets: [Float], _ size: Int, _ groups: Int, _ low: Float, _ high: Float
  ) -> Matrix {
    let (columns, count) = (rest.columns, range.count)
    var errors = Matrix(zeros: rest.rows, count)
    errors.values.withUnsafeMutableBufferPointer { errors in
      codes.withUnsafeMutableBufferPointer { codes in
        rest.values.withUnsafeMutableBufferPointer { rest in
          factor.values.withUnsafeBufferPointer { factor in
            scales.withUnsafeBufferPointer { scales in
              offsets.withUnsafeBufferPointer { offsets in
                for row in 0..<errors.count / count {
                  let values = rest.baseAddress! + row * columns
                  for column in range {
                    let place = row * groups + column / size
                    let (scale, offset) = (scales[place], offsets[place])
                    let value = values[column]
                    let code = min(max((value / scale + offset).rounded(.toNearestOrEven), low), high)
                    codes[row * columns + column] = Int8(code)
                    let influence = factor.baseAddress! + column * columns
                    let error = (value - (code - offset) * scale) / influence[column]
                    errors[row * count + column - range.lowerBound] = error
                    for other in column..<range.upperBound { values[other] -= error * influence[other] }
                  }
                }
              }
            }
          }
        }
      }
    }
    return errors
  }

  /// Takes the errors of a block off all columns after it.
  private func spread(
    _ errors: Matrix, from range: Range<Int>, _ factor: Matrix, _ rest: inout Matrix, _ threads: KernelThreads
  ) throws {
    let (columns, after) = (rest.columns, rest.columns - range.upperBound)
    guard after > 0 else { return }
    var change = [Float](repeating: 0, count: rest.rows * after)
    try change.withUnsafeMutableBufferPointer { change in
      try errors.values.withUnsafeBufferPointer { errors in
        try factor.values.withUnsafeBufferPointer { factor in
          let a = bk_matrix(data: errors.baseAddress, batch: 0, row: range.count, column: 1)
          let b = bk_matrix(
            data: factor.baseAddress! + range.lowerBound * columns + range.upperBound, batch: 0, row: columns, column: 1
          )
          try check(
            bk_matmul_f32(
              threads.pool, 1, rest.rows, after, range.count, a, b, change.baseAddress, 0, after))
        }
      }
      rest.values.withUnsafeMutableBufferPointer { rest in
        for row in 0..<rest.count / columns {
          let values = rest.baseAddress! + row * columns + range.upperBound
          let changes = change.baseAddress! + row * after
          for column in 0..<after { values[column] -= changes[column] }
        }
      }
    }
  }
}

/// Codes of a whole weight, found by an algorithm: w = scale * (code - offset).
struct SolvedCodes: Sendable, Equatable {
  /// [outputs, inputs].
  let codes: [Int8]
  /// [outputs, groups].
  let scales: [Float]
  let offsets: [Float]
}
