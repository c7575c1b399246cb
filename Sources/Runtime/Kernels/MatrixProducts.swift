import CKernels
import IR
import Tensors

extension Linear: Kernel {
  /// A sum that alone reads the product, and whose other term is there already, is taken in.
  func plan(_ node: Node, in planner: inout Planner) throws -> Bool {
    guard planner.isFloat(node.operands[0]), planner.model.parameters.isParameter(node.operands[1]) else {
      return false
    }
    let matrix = try planner.model.parameters.matrix(node.operands[1])
    let x = planner.inRows(try planner.floatView(node.operands[0]))
    let bias = try node.operands.count > 2 ? planner.floatView(node.operands[2]) : nil
    guard let rows = x.rows, bias?.isContiguous ?? true else { return false }
    let sum = planner.sum(of: node.results[0])
    let result = sum?.result ?? node.results[0]
    let y = planner.allocateFloat(result)
    let (pool, activation) = (planner.pool, activation.kernel)
    let compute = planner.compute(reading: node.operands[0])
    let reads = [x] + [bias, sum?.addend].compactMap { $0 }
    let next = planner.succession(of: matrix)
    planner.addStep("linear", reads: reads, writes: [y]) { arena in
      var arguments = matrix.arguments(
        FloatRows(arena.floats(x), rows.stride), count: rows.count, to: FloatRows(arena.floats(y), matrix.outputs),
        compute, activation)
      arguments.bias = bias.map { UnsafePointer(arena.floats($0)) }
      if let weights = next.weights {
        (arguments.next, arguments.next_bytes) = (weights.withUnsafeBytes { $0.baseAddress }, weights.count)
      }
      if let sum {
        arguments.residual = UnsafePointer(arena.floats(sum.addend))
        arguments.residual_stride = sum.addend.rows?.stride ?? 0
      }
      return { [arguments] in try matrix.multiply(pool, arguments) }
    }
    try planner.finish(result, y)
    return true
  }
}

/// The weights that are multiplied with next: after the last product the first of another run.
final class Succession {
  fileprivate let first: Bytes?
  fileprivate(set) var weights: Bytes?

  fileprivate init(first: Bytes?) {
    self.first = first
    weights = first
  }
}

extension Planner {
  /// Makes the matrix the next of the one before.
  fileprivate mutating func succession(of matrix: Parameters.Matrix) -> Succession {
    guard isFirstTime else { return Succession(first: nil) }
    let weights = matrix.parts.first?.bytes
    lastProduct?.weights = weights
    let next = Succession(first: lastProduct?.first ?? weights)
    lastProduct = next
    return next
  }

  /// The float32 sum of `value` and an equally shaped value that is known by now, when nothing else reads `value`.
  fileprivate func sum(of value: ValueID) -> (result: ValueID, addend: View)? {
    guard dtype(value) == .float32, graph.hasOneUse(value), let id = graph.users(of: value).first,
      graph[id].op is Add, let other = graph[id].operands.first(where: { $0 != value }),
      let addend = known(other), addend.dtype == .float32, addend.shape == shape(value), addend.rows != nil
    else { return nil }
    return (graph[id].results[0], addend)
  }
}

/// The first of some rows of numbers in memory, and the distance from one to the next.
struct FloatRows {
  let start: UnsafeMutablePointer<Float>
  let stride: Int

  init(_ start: UnsafeMutablePointer<Float>, _ stride: Int) {
    self.start = start
    self.stride = stride
  }
}

extension Parameters.Matrix {
  /// What computes `y = activation(x · Wᵀ)` for `count` rows; y must not overlap x.
  func arguments(
    _ x: FloatRows, count: Int, to y: FloatRows, _ compute: (bk_dtype) -> bk_compute,
    _ activation: bk_activation = BK_ACT_NONE
  ) -> bk_linear_args {
    var arguments = bk_linear_args()
    (arguments.m, arguments.n, arguments.k) = (count, outputs, inputs)
    (arguments.x, arguments.x_stride) = (UnsafePointer(x.start), x.stride)
    (arguments.w_stride, arguments.w_type) = (inputs, dtype)
    (arguments.compute, arguments.activation) = (compute(dtype), activation)
    (arguments.y, arguments.y_stride) = (y.start, y.stride)
    return arguments
  }

  func multiply(_ pool: OpaquePointer?, _ arguments: bk_linear_args) throws {
    var arguments = arguments
    for part in parts {
      arguments.n = part.outputs
      arguments.w = part.bytes.withUnsafeBytes { $0.baseAddress }
      try withUnsafePointer(to: arguments) {
        try check(part.isPacked ? bk_linear(pool, $0) : bk_linear_rows(pool, $0))
      }
      arguments.y += part.outputs
      arguments.bias = arguments.bias.map { $0 + part.outputs }
      arguments.residual = arguments.residual.map { $0 + part.outputs }
    }
  }
}

extension Planner {
  /// How a value is multiplied with weights of a type. Wider weights in the mapping are not rounded.
  func compute(reading value: ValueID) -> (bk_dtype) -> bk_compute {
    let (options, isWide) = (model.options, dtype(value) == .float32)
    return { type in
      guard type != BK_F32 else { return options.isAsPyTorch ? BK_COMPUTE_PYTORCH_F32 : BK_COMPUTE_F32 }
      guard options.isAsPyTorch else {
        return type == BK_BF16 && options.compute == .bfloat16 ? BK_COMPUTE_BF16 : BK_COMPUTE_F32
      }
      if isWide { return BK_COMPUTE_PYTORCH_F32 }
      return type == BK_F16 ? BK_COMPUTE_PYTORCH_F16 : BK_COMPUTE_PYTORCH_BF16
    }
  }

  /// What matrix products are computed in.
  var compute: bk_compute { model.options.compute == .bfloat16 ? BK_COMPUTE_BF16 : BK_COMPUTE_F32 }
}

extension Activation {
  var kernel: bk_activation {
    switch self {
    case .none: BK_ACT_NONE
    case .relu: BK_ACT_RELU
    case .gelu: BK_ACT_GELU_ERF
    case .geluTanh: BK_ACT_GELU_TANH
    case .silu: BK_ACT_SILU
    case .tanh: BK_ACT_TANH
    }
  }
}

extension MatMul: Kernel {
  func plan(_ node: Node, in planner: inout Planner) throws -> Bool {
    guard planner.isFloat(node.operands[0]) else { return false }
    var a = try planner.floatView(node.operands[0])
    let b = try planner.floatView(node.operands[1])
    let result = planner.allocateFloat(node.results[0])
    let shape = result.shape
    let rank = shape.count
    let (k, n) = (a.shape[a.rank - 1], shape[rank - 1])
    // One matrix for all batches: the batches are rows.
    if b.rank == 2 {
      if a.collapsed(0..<(a.rank - 1)) == nil { a = planner.contiguous(a) }
      let rows = shape.dropLast().reduce(1, *)
      let row = a.collapsed(0..<(a.rank - 1)) ?? 0
      planner.multiply(
        1, rows, n, k, (a, 0, row, a.strides[a.rank - 1]), (b, 0, b.strides[0], b.strides[1]), result)
      try planner.finish(node.results[0], result)
      return true
    }
    let batch = Array(shape.dropLast(2))
    func expanded(_ view: View) -> View {
      var view = view
      let missing = rank - view.rank
      view.shape = [Int](repeating: 1, count: missing) + view.shape
      view.strides = [Int](repeating: 0, count: missing) + view.strides
      return view.expanded(to: batch + view.shape.suffix(2))
    }
    var (left, right) = (expanded(a), expanded(b))
    if left.collapsed(0..<(rank - 2)) == nil { left = planner.contiguous(left) }
    if right.collapsed(0..<(rank - 2)) == nil { right = planner.contiguous(right) }
    planner.multiply(
      batch.reduce(1, *), shape[rank - 2], n, k,
      (left, left.collapsed(0..<(rank - 2)) ?? 0, left.strides[rank - 2], left.strides[rank - 1]),
      (right, right.collapsed(0..<(rank - 2)) ?? 0, right.strides[rank - 2], right.strides[rank - 1]), result)
    try planner.finish(node.results[0], result)
    return true
  }
}

extension Planner {
  fileprivate typealias Strided = (view: View, batch: Int, row: Int, column: Int)

  fileprivate mutating func multiply(
    _ batches: Int, _ m: Int, _ n: Int, _ k: Int, _ a: Strided, _ b: Strided, _ c: View
  ) {
    let pool = pool
    addStep("matmul", reads: [a.view, b.view], writes: [c]) { arena in
      let left = bk_matrix(data: arena.floats(a.view), batch: a.batch, row: a.row, column: a.column)
      let right = bk_matrix(data: arena.floats(b.view), batch: b.batch, row: b.row, column: b.column)
      let output = arena.floats(c)
      return { try check(bk_matmul_f32(pool, batches, m, n, k, left, right, output, m * n, n)) }
    }
  }
}
