import CKernels
import IR
import Tensors

/// An operator of one float operand that the kernels have.
protocol UnaryKernel: Kernel {
  var kernel: bk_unary_op { get }
}

extension UnaryKernel {
  func plan(_ node: Node, in planner: inout Planner) throws -> Bool {
    guard planner.isFloat(node.operands[0]) else { return false }
    var x = try planner.floatView(node.operands[0])
    if x.denseOrder == nil { x = planner.contiguous(x) }
    let y = planner.allocateFloat(x.shape, order: x.denseOrder ?? Array(x.shape.indices))
    let (pool, count, op) = (planner.pool, x.elementCount, kernel)
    planner.addStep(Self.schema.name, reads: [x], writes: [y]) { arena in
      let (input, output) = (arena.floats(x), arena.floats(y))
      return { try check(bk_unary(pool, op, output, input, count)) }
    }
    try planner.finish(node.results[0], y)
    return true
  }
}

extension Absolute: UnaryKernel { var kernel: bk_unary_op { BK_UNARY_ABS } }
extension Cos: UnaryKernel { var kernel: bk_unary_op { BK_UNARY_COS } }
extension Erf: UnaryKernel { var kernel: bk_unary_op { BK_UNARY_ERF } }
extension Exp: UnaryKernel { var kernel: bk_unary_op { BK_UNARY_EXP } }
extension Log: UnaryKernel { var kernel: bk_unary_op { BK_UNARY_LOG } }
extension Negate: UnaryKernel { var kernel: bk_unary_op { BK_UNARY_NEG } }
extension Reciprocal: UnaryKernel { var kernel: bk_unary_op { BK_UNARY_RECIPROCAL } }
extension Relu: UnaryKernel { var kernel: bk_unary_op { BK_UNARY_RELU } }
extension Rsqrt: UnaryKernel { var kernel: bk_unary_op { BK_UNARY_RSQRT } }
extension Sigmoid: UnaryKernel { var kernel: bk_unary_op { BK_UNARY_SIGMOID } }
extension Silu: UnaryKernel { var kernel: bk_unary_op { BK_UNARY_SILU } }
extension Sin: UnaryKernel { var kernel: bk_unary_op { BK_UNARY_SIN } }
extension Sqrt: UnaryKernel { var kernel: bk_unary_op { BK_UNARY_SQRT } }
extension Tanh: UnaryKernel { var kernel: bk_unary_op { BK_UNARY_TANH } }
extension Gelu: UnaryKernel {
  var kernel: bk_unary_op { approximation == .tanh ? BK_UNARY_GELU_TANH : BK_UNARY_GELU_ERF }
}
extension Ascend.GeluV2: UnaryKernel {
  var kernel: bk_unary_op { approximate == .tanh ? BK_UNARY_GELU_TANH : BK_UNARY_GELU_ERF }
}

/// An operator of two float operands that the kernels have.
protocol BinaryKernel: Kernel {
  static var kernel: bk_binary_op { get }
}

extension BinaryKernel {
  func plan(_ node: Node, in planner: inout Planner) throws -> Bool {
    guard planner.isFloat(node.operands[0]) else { return false }
    let shape = planner.shape(node.results[0])
    guard shape.count <= Int(BK_MAX_RANK) else { return false }
    func broadcast(_ value: ValueID, _ p: inout Planner) throws -> View {
      var view = try p.floatView(value)
      let missing = shape.count - view.rank
      view.shape = [Int](repeating: 1, count: missing) + view.shape
      view.strides = [Int](repeating: 0, count: missing) + view.strides
      return view.expanded(to: shape)
    }
    let (a, b) = (try broadcast(node.operands[0], &planner), try broadcast(node.operands[1], &planner))
    // The result lies as the operand does that has all its elements.
    let order = a.denseOrder ?? b.denseOrder ?? Array(shape.indices)
    let result = planner.allocateFloat(shape, order: order)
    let (pool, ordered) = (planner.pool, order.map { shape[$0] })
    let (aStrides, bStrides) = (order.map { a.strides[$0] }, order.map { b.strides[$0] })
    planner.addStep(Self.schema.name, reads: [a, b], writes: [result]) { arena in
      let (left, right, output) = (arena.floats(a), arena.floats(b), arena.floats(result))
      return {
        try check(bk_binary(pool, Self.kernel, output, Int32(ordered.count), ordered, left, aStrides, right, bStrides))
      }
    }
    try planner.finish(node.results[0], result)
    return true
  }
}

extension Add: BinaryKernel { static var kernel: bk_binary_op { BK_BINARY_ADD } }
extension Divide: BinaryKernel { static var kernel: bk_binary_op { BK_BINARY_DIV } }
extension Maximum: BinaryKernel { static var kernel: bk_binary_op { BK_BINARY_MAX } }
extension Minimum: BinaryKernel { static var kernel: bk_binary_op { BK_BINARY_MIN } }
extension Multiply: BinaryKernel { static var kernel: bk_binary_op { BK_BINARY_MUL } }
extension Power: BinaryKernel { static var kernel: bk_binary_op { BK_BINARY_POW } }
extension Subtract: BinaryKernel { static var kernel: bk_binary_op { BK_BINARY_SUB } }

extension SwiGLU: Kernel {
  func plan(_ node: Node, in planner: inout Planner) throws -> Bool { try planner.gate(node) }
}

extension Ascend.SwiGlu: Kernel {
  func plan(_ node: Node, in planner: inout Planner) throws -> Bool {
    guard dim == -1 || dim == planner.shape(node.operands[0]).count - 1 else { return false }
    return try planner.gate(node)
  }
}

extension Planner {
  fileprivate mutating func gate(_ node: Node) throws -> Bool {
    guard isFloat(node.operands[0]) else { return false }
    let x = inRows(try floatView(node.operands[0]))
    let y = allocateFloat(node.results[0])
    guard let rows = x.rows else { return false }
    let (pool, width) = (pool, rows.width / 2)
    addStep("swiglu", reads: [x], writes: [y]) { arena in
      let (input, output) = (arena.floats(x), arena.floats(y))
      return { bk_swiglu(pool, output, width, input, rows.stride, input + width, rows.stride, rows.count, width) }
    }
    try finish(node.results[0], y)
    return true
  }
}

extension RotaryEmbedding: Kernel {
  func plan(_ node: Node, in planner: inout Planner) throws -> Bool {
    try planner.rotate(node, interleaved: interleaved)
  }
}

extension Ascend.RotaryMul: Kernel {
  func plan(_ node: Node, in planner: inout Planner) throws -> Bool {
    try planner.rotate(node, interleaved: rotaryMode == .interleave)
  }
}

extension Planner {
  /// Rotates x [batch, heads, sequence, size] by tables [batch or 1, 1, sequence, rotated].
  fileprivate mutating func rotate(_ node: Node, interleaved: Bool) throws -> Bool {
    guard isFloat(node.operands[0]), shape(node.operands[0]).count == 4, shape(node.operands[1])[1] == 1 else {
      return false
    }
    let x = try floatView(node.operands[0])
    guard x.isDense else { return false }
    let (cosines, sines) = (contiguous(try floatView(node.operands[1])), contiguous(try floatView(node.operands[2])))
    guard cosines.shape[2] == x.shape[2], cosines.shape == sines.shape else { return false }
    let y = allocateFloat(node.results[0])
    let pool = pool
    addStep("rotary_embedding", reads: [x, cosines, sines], writes: [y]) { arena in
      var arguments = bk_rotary_args()
      (arguments.batch, arguments.heads, arguments.sequence) = (x.shape[0], x.shape[1], x.shape[2])
      (arguments.depth, arguments.rotated) = (x.shape[3], cosines.shape[3])
      arguments.x = UnsafePointer(arena.floats(x))
      arguments.x_strides = bk_strides3(batch: x.strides[0], head: x.strides[1], sequence: x.strides[2])
      arguments.out = arena.floats(y)
      arguments.out_strides = bk_strides3(batch: y.strides[0], head: y.strides[1], sequence: y.strides[2])
      arguments.cos = UnsafePointer(arena.floats(cosines))
      arguments.sin = UnsafePointer(arena.floats(sines))
      arguments.table_batch = cosines.shape[0] == 1 ? 0 : cosines.strides[0]
      arguments.table_sequence = cosines.strides[2]
      arguments.interleaved = interleaved
      return { [arguments] in try withUnsafePointer(to: arguments) { try check(bk_rotary(pool, $0)) } }
    }
    try finish(node.results[0], y)
    return true
  }
}
