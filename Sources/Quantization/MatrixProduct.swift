internal import CKernels
internal import Tensors

extension Matrix {
  /// Some rows and columns of a matrix, perhaps turned over, as a factor of a product.
  struct Part {
    let values: [Float]
    let start: Int
    let rows: Int
    let columns: Int
    /// Elements from a row, or a column, to the next.
    let rowStride: Int
    let columnStride: Int

    var transposed: Part {
      Part(
        values: values, start: start, rows: columns, columns: rows, rowStride: columnStride, columnStride: rowStride)
    }

    /// `self · other`, sums in float32 in the order of the columns: for small factors, see ``PackedMatrix`` for others.
    func times(_ other: Part, _ threads: KernelThreads) throws -> Matrix {
      precondition(columns == other.rows, "factors of other sizes")
      var result = Matrix(zeros: rows, other.columns)
      try result.values.withUnsafeMutableBufferPointer { c in
        try with { a in
          try other.with { b in
            try check(
              bk_matmul_f32(
                threads.pool, 1, rows, other.columns, columns, a, b, c.baseAddress, 0, other.columns))
          }
        }
      }
      return result
    }

    /// The part as a kernel takes it.
    private func with<Result>(_ body: (bk_matrix) throws -> Result) rethrows -> Result {
      try values.withUnsafeBufferPointer {
        // Rows and columns were checked to lie in the matrix.
        try body(bk_matrix(data: $0.baseAddress.map { $0 + start }, batch: 0, row: rowStride, column: columnStride))
      }
    }
  }

  func part(_ rows: Range<Int>, _ columns: Range<Int>) -> Part {
    precondition(rows.upperBound <= self.rows && columns.upperBound <= self.columns, "a part beyond the matrix")
    return Part(
      values: values, start: rows.lowerBound * self.columns + columns.lowerBound, rows: rows.count,
      columns: columns.count, rowStride: self.columns, columnStride: 1)
  }

  var all: Part { part(0..<rows, 0..<columns) }

  /// Puts another matrix over the elements from a row and column on.
  mutating func set(_ other: Matrix, row: Int, column: Int) {
    for index in 0..<other.rows {
      let place = (row + index) * columns + column
      let line = index * other.columns
      values.replaceSubrange(place..<place + other.columns, with: other.values[line..<line + other.columns])
    }
  }

  /// The rows as columns.
  var transposed: Matrix {
    var result = Matrix(zeros: columns, rows)
    result.values.withUnsafeMutableBytes { target in
      values.withUnsafeBytes { source in
        guard let to = target.baseAddress, let from = source.baseAddress else { return }
        // Both hold rows x columns elements.
        copyStrided(
          elementByteCount: 4, shape: [columns, rows], to: to, [rows, 1], from: from, [1, columns])
      }
    }
    return result
  }

  /// `self · right`.
  func times(_ right: PackedMatrix, _ threads: KernelThreads) throws -> Matrix {
    var result = Matrix(zeros: rows, right.columns)
    try result.add(all, right, row: 0, column: 0, threads)
    return result
  }

  /// Adds `left · right`, without the first `skipped` columns of it, to the elements from a row and column on; sums in
  /// float32, each in the order of the columns of `left`, before they are added. `skipped` is a multiple of 16, and
  /// `left` not turned over.
  mutating func add(
    _ left: Part, _ right: PackedMatrix, skipping skipped: Int = 0, count: Int? = nil, row: Int, column: Int,
    _ threads: KernelThreads
  ) throws {
    let width = count ?? right.columns - skipped
    precondition(
      left.columns == right.rows && left.columnStride == 1 && skipped % 16 == 0 && skipped + width <= right.columns
        && row + left.rows <= rows && column + width <= columns, "a product of another size")
    guard width > 0, left.rows > 0 else { return }
    try left.values.withUnsafeBufferPointer { x in
      try values.withUnsafeMutableBufferPointer { y in
        var arguments = bk_linear_args()
        (arguments.m, arguments.n, arguments.k) = (left.rows, width, left.columns)
        (arguments.x, arguments.x_stride) = (x.baseAddress.map { $0 + left.start }, left.rowStride)
        (arguments.w, arguments.w_type) = (right.panels(from: skipped), BK_F32)
        arguments.compute = BK_COMPUTE_PYTORCH_F32
        (arguments.y, arguments.y_stride) = (y.baseAddress.map { $0 + row * columns + column }, columns)
        (arguments.residual, arguments.residual_stride) = (UnsafePointer(arguments.y), columns)
        try check(bk_linear(threads.pool, &arguments))
      }
    }
  }
}

/// The right factor of products, in the order in which the kernel reads it.
final class PackedMatrix {
  let rows: Int
  let columns: Int
  private let memory: UnsafeMutableRawPointer

  init(_ part: Matrix.Part, _ threads: KernelThreads) throws {
    precondition(part.rowStride == 1 || part.columnStride == 1, "a part with gaps")
    (rows, columns) = (part.rows, part.columns)
    memory = .allocate(byteCount: max(64, bk_pack_size(BK_F32, columns, rows)), alignment: 64)
    // Of a factor that is turned over the rows are columns in memory, as they are of a layer's weight.
    let isTurned = part.columnStride != 1
    try part.values.withUnsafeBufferPointer { source in
      try check(
        bk_pack(
          threads.pool, BK_F32, memory, BK_F32, source.baseAddress.map { $0 + part.start },
          isTurned ? part.columnStride : part.rowStride, !isTurned, columns, rows))
    }
  }

  deinit { memory.deallocate() }

  /// From a column on that is a multiple of 16.
  func panels(from column: Int) -> UnsafeRawPointer { UnsafeRawPointer(memory) + column * rows * 4 }
}
