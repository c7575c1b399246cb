import CKernels
import IR
import Tensors

extension RMSNorm: Kernel {
  func plan(_ node: Node, in planner: inout Planner) throws -> Bool {
    try planner.normalize("rms_norm", node, parameters: 1) { pool, y, yStride, x, xStride, weights, rows, width in
      bk_rms_norm(pool, y, yStride, x, xStride, weights[0], Float(epsilon), rows, width)
    }
  }
}

extension LayerNorm: Kernel {
  func plan(_ node: Node, in planner: inout Planner) throws -> Bool {
    guard axis == -1 else { return false }
    return try planner.normalize("layer_norm", node, parameters: node.operands.count - 1) {
      pool, y, yStride, x, xStride, weights, rows, width in
      bk_layer_norm(
        pool, y, yStride, x, xStride, weights.first, weights.count > 1 ? weights[1] : nil, Float(epsilon), rows, width)
    }
  }
}

extension Ascend.RmsNorm: Kernel {
  func plan(_ node: Node, in planner: inout Planner) throws -> Bool {
    guard planner.graph.isUnused(node.results[1]) else { return false }
    return try planner.normalize("ascend.RmsNorm", node, parameters: 1) {
      pool, y, yStride, x, xStride, weights, rows, width in
      bk_rms_norm(pool, y, yStride, x, xStride, weights[0], Float(epsilon), rows, width)
    }
  }
}

extension Ascend.LayerNormV4: Kernel {
  func plan(_ node: Node, in planner: inout Planner) throws -> Bool {
    guard planner.graph.isUnused(node.results[1]), planner.graph.isUnused(node.results[2]) else { return false }
    return try planner.normalize("ascend.LayerNormV4", node, parameters: node.operands.count - 1) {
      pool, y, yStride, x, xStride, weights, rows, width in
      bk_layer_norm(
        pool, y, yStride, x, xStride, weights.first, weights.count > 1 ? weights[1] : nil, Float(epsilon), rows, width)
    }
  }
}

extension Ascend.AddRmsNorm: Kernel {
  /// In float32 only: narrower sums are rounded before they are normalized, which the plain meaning does.
  func plan(_ node: Node, in planner: inout Planner) throws -> Bool {
    guard planner.dtype(node.operands[0]) == .float32, planner.graph.isUnused(node.results[1]) else { return false }
    let (a, b) = (
      planner.inRows(try planner.floatView(node.operands[0])), planner.inRows(try planner.floatView(node.operands[1]))
    )
    let gamma = planner.contiguous(try planner.floatView(node.operands[2]))
    let (y, sum) = (planner.allocateFloat(node.results[0]), planner.allocateFloat(node.results[2]))
    guard let first = a.rows, let second = b.rows else { return false }
    let (pool, epsilon) = (planner.pool, Float(epsilon))
    planner.addStep("ascend.AddRmsNorm", reads: [a, b, gamma], writes: [y, sum]) { arena in
      let (left, right, scale) = (arena.floats(a), arena.floats(b), arena.floats(gamma))
      let (out, total) = (arena.floats(y), arena.floats(sum))
      return {
        bk_add_rms_norm(
          pool, out, first.width, total, first.width, left, first.stride, right, second.stride, scale, epsilon,
          first.count, first.width)
      }
    }
    planner.define(node.results[0], y)
    planner.define(node.results[2], sum)
    return true
  }
}

extension Softmax: Kernel {
  func plan(_ node: Node, in planner: inout Planner) throws -> Bool {
    guard axis == -1 || axis == planner.shape(node.operands[0]).count - 1 else { return false }
    return try planner.normalize("softmax", node, parameters: 0) { pool, y, yStride, x, xStride, _, rows, width in
      bk_softmax(pool, y, yStride, x, xStride, rows, width)
    }
  }
}

extension Graph {
  func isUnused(_ value: ValueID) -> Bool { users(of: value).isEmpty && !isRoot(value) }
}

extension Planner {
  fileprivate typealias RowKernel = (
    _ pool: OpaquePointer?, _ y: UnsafeMutablePointer<Float>, _ yStride: Int, _ x: UnsafePointer<Float>, _ xStride: Int,
    _ parameters: [UnsafePointer<Float>], _ rows: Int, _ width: Int
  ) -> Void

  /// A kernel over the rows of its first operand, the others being vectors; the first result has the same shape.
  fileprivate mutating func normalize(
    _ name: String, _ node: Node, parameters count: Int, _ kernel: @escaping RowKernel
  ) throws -> Bool {
    guard isFloat(node.operands[0]), shape(node.operands[0]).count > 0 else { return false }
    let x = inRows(try floatView(node.operands[0]))
    var vectors: [View] = []
    for operand in node.operands.dropFirst().prefix(count) {
      guard shape(operand).count == 1 else { return false }
      vectors.append(contiguous(try floatView(operand)))
    }
    let y = allocateFloat(node.results[0])
    guard let rows = x.rows else { return false }
    let pool = pool
    addStep(name, reads: [x] + vectors, writes: [y]) { [vectors] arena in
      let (input, output) = (UnsafePointer(arena.floats(x)), arena.floats(y))
      let parameters = vectors.map { UnsafePointer(arena.floats($0)) }
      return { kernel(pool, output, rows.width, input, rows.stride, parameters, rows.count, rows.width) }
    }
    try finish(node.results[0], y)
    return true
  }
}
