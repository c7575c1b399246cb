internal import CKernels
public import Tensors

/// A matrix of float32 in memory, [rows, columns].
public struct Matrix: Sendable, Equatable {
  public let rows: Int
  public let columns: Int
  public var values: [Float]

  public init(rows: Int, columns: Int, values: [Float]) {
    precondition(values.count == rows * columns, "a matrix of another size")
    self.rows = rows
    self.columns = columns
    self.values = values
  }

  public init(zeros rows: Int, _ columns: Int) {
    self.init(rows: rows, columns: columns, values: [Float](repeating: 0, count: rows * columns))
  }

  /// Ones on the diagonal.
  init(identity size: Int) {
    self.init(zeros: size, size)
    for index in 0..<size { values[index * size + index] = 1 }
  }

  /// The elements of a tensor of floats, its last dimension the columns.
  public init(_ tensor: Tensor) throws {
    let columns = tensor.shape.last ?? 1
    self.init(rows: columns == 0 ? 0 : tensor.elementCount / columns, columns: columns, values: tensor.floats)
  }

  /// The rows as a tensor of another type, each element rounded once.
  public func tensor(_ dtype: DType, shape: [Int]) throws -> Tensor { try Tensor(values, shape: shape).cast(to: dtype) }

  /// The largest magnitude of each column.
  public var columnMagnitudes: [Float] { foldColumns(0) { max($0, abs($1)) } }

  /// The mean magnitude of each column, summed as PyTorch does; there must be rows.
  public var meanMagnitudes: [Float] {
    CascadeSum.columns(values.map(abs), count: columns).map { $0 / Float(rows) }
  }

  /// The greatest element of each column.
  public var columnMaxima: [Float] { foldColumns(-.infinity) { max($0, $1) } }

  private func foldColumns(_ start: Float, _ combine: (Float, Float) -> Float) -> [Float] {
    var result = [Float](repeating: start, count: columns)
    for row in 0..<rows {
      let base = row * columns
      for column in 0..<columns { result[column] = combine(result[column], values[base + column]) }
    }
    return result
  }

  /// `self · otherᵀ`, sums in float32: [m,k] and [n,k] give [m,n].
  public func times(transposed other: Matrix, _ threads: KernelThreads) throws -> Matrix {
    try all.times(other.all.transposed, threads)
  }

  /// `self · otherᵀ` of matrices of a type, as PyTorch's CPU kernels compute it, rounded to the type.
  func times(transposed other: Matrix, _ dtype: DType, _ threads: KernelThreads) throws -> Matrix {
    guard dtype != .float32 else { return try times(transposed: other, threads) }
    precondition(columns == other.columns, "factors of other sizes")
    var result = Matrix(zeros: rows, other.rows)
    try values.withUnsafeBufferPointer { x in
      try other.values.withUnsafeBufferPointer { w in
        try result.values.withUnsafeMutableBufferPointer { y in
          var arguments = bk_linear_args()
          (arguments.m, arguments.n, arguments.k) = (rows, other.rows, columns)
          (arguments.x, arguments.x_stride) = (x.baseAddress, columns)
          (arguments.w, arguments.w_stride, arguments.w_type) = (UnsafeRawPointer(w.baseAddress), columns, BK_F32)
          arguments.compute = dtype == .float16 ? BK_COMPUTE_PYTORCH_F16 : BK_COMPUTE_PYTORCH_BF16
          (arguments.y, arguments.y_stride) = (y.baseAddress, other.rows)
          try check(bk_linear_rows(threads.pool, &arguments))
        }
      }
    }
    return try result.rounded(to: dtype)
  }

  /// Multiplies all elements with a factor.
  mutating func scale(by factor: Float, _ threads: KernelThreads? = nil) {
    let count = values.count
    values.withUnsafeMutableBufferPointer { values in
      _ = withUnsafePointer(to: factor) {
        // The factor stays where it is for every element.
        bk_binary(threads?.pool, BK_BINARY_MUL, values.baseAddress, 1, [count], values.baseAddress, [1], $0, [0])
      }
    }
  }

  /// Each column multiplied by a factor.
  public func scalingColumns(_ factors: [Float]) -> Matrix {
    combining(BK_BINARY_MUL, factors, strides: [0, 1])
  }

  /// Each column divided by a number.
  public func dividingColumns(by divisors: [Float]) -> Matrix { combining(BK_BINARY_DIV, divisors, strides: [0, 1]) }

  /// The differences of elements.
  static func - (left: Matrix, right: Matrix) -> Matrix {
    left.combining(BK_BINARY_SUB, right.values, strides: [left.columns, 1])
  }

  /// Each element with one of others that strides lead to.
  private func combining(_ operation: bk_binary_op, _ other: [Float], strides: [Int]) -> Matrix {
    var result = self
    result.values.withUnsafeMutableBufferPointer { values in
      _ = bk_binary(
        nil, operation, values.baseAddress, 2, [rows, columns], values.baseAddress, [columns, 1], other, strides)
    }
    return result
  }
}

/// The threads that kernels run on, and their memory.
public final class KernelThreads: @unchecked Sendable {
  let pool: OpaquePointer?
  public let count: Int

  public init(_ count: Int) {
    self.count = count
    pool = bk_pool_create(Int32(clamping: count))
  }

  deinit { bk_pool_destroy(pool) }
}

/// Throws ``ErrorCode/limit`` when a kernel had no memory.
func check(_ status: Int32) throws {
  guard status == Int32(BK_OK) else { throw BessemerError(.limit, "not enough memory for a product of matrices") }
}

extension [Float] {
  /// Each value rounded once to a type of weights.
  public func rounded(to dtype: DType) throws -> [Float] {
    dtype == .float32 ? self : try Tensor(self, shape: [count]).cast(to: dtype).floats
  }
}

extension Float {
  /// The value rounded to a type of weights.
  public func rounded(to dtype: DType) -> Float { WeightCodes.round(self, to: dtype) }
}
