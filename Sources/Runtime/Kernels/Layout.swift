import CKernels
import IR
import Tensors

// Operators that only move data. Where the result is a window of the operand nothing is copied.

extension Reshape: Kernel {
  func plan(_ node: Node, in planner: inout Planner) throws -> Bool { try planner.reshape(node) }
}

extension Squeeze: Kernel {
  func plan(_ node: Node, in planner: inout Planner) throws -> Bool { try planner.reshape(node) }
}

extension Unflatten: Kernel {
  func plan(_ node: Node, in planner: inout Planner) throws -> Bool { try planner.reshape(node) }
}

extension Unsqueeze: Kernel {
  func plan(_ node: Node, in planner: inout Planner) throws -> Bool { try planner.reshape(node) }
}

extension Planner {
  fileprivate mutating func reshape(_ node: Node) throws -> Bool {
    let (source, shape) = (try view(node.operands[0]), shape(node.results[0]))
    guard let result = source.reshaped(shape) ?? contiguous(source).reshaped(shape) else { return false }
    define(node.results[0], result)
    return true
  }
}

extension Transpose: Kernel {
  func plan(_ node: Node, in planner: inout Planner) throws -> Bool {
    planner.define(node.results[0], try planner.view(node.operands[0]).transposed(permutation))
    return true
  }
}

extension Expand: Kernel {
  func plan(_ node: Node, in planner: inout Planner) throws -> Bool {
    let source = try planner.view(node.operands[0])
    let shape = planner.shape(node.results[0])
    guard source.rank == shape.count else { return false }
    planner.define(node.results[0], source.expanded(to: shape))
    return true
  }
}

extension Slice: Kernel {
  func plan(_ node: Node, in planner: inout Planner) throws -> Bool {
    let source = try planner.view(node.operands[0])
    let axis = axis < 0 ? axis + source.rank : axis
    let (size, count) = (source.shape[axis], planner.shape(node.results[0])[axis])
    guard step > 0 else { return false }
    let from = min(max(start < 0 ? start + size : start, 0), size)
    planner.define(node.results[0], source.sliced(axis, from: from, count: count, step: step))
    return true
  }
}

extension Split: Kernel {
  func plan(_ node: Node, in planner: inout Planner) throws -> Bool {
    let source = try planner.view(node.operands[0])
    let axis = axis < 0 ? axis + source.rank : axis
    var start = 0
    for result in node.results {
      let count = planner.shape(result)[axis]
      planner.define(result, source.sliced(axis, from: start, count: count))
      start += count
    }
    return true
  }
}

extension Concat: Kernel {
  func plan(_ node: Node, in planner: inout Planner) throws -> Bool {
    let result = planner.allocate(planner.dtype(node.results[0]), shape: planner.shape(node.results[0]))
    let axis = axis < 0 ? axis + result.rank : axis
    var start = 0
    for operand in node.operands {
      let source = try planner.view(operand)
      planner.copy(source, to: result.sliced(axis, from: start, count: source.shape[axis]))
      start += source.shape[axis]
    }
    planner.define(node.results[0], result)
    return true
  }
}

extension Gather: Kernel {
  /// Rows of a table, each copied as it is stored.
  func plan(_ node: Node, in planner: inout Planner) throws -> Bool {
    let table = try planner.view(node.operands[0])
    guard axis == 0 || axis == -table.rank, table.rank >= 1, table.isContiguous,
      planner.dtype(node.operands[1]) == .int64
    else {
      return false
    }
    let indices = planner.contiguous(try planner.view(node.operands[1]))
    let result = planner.allocate(table.dtype, shape: planner.shape(node.results[0]))
    let (rows, rowBytes, count) = (table.shape[0], table.byteCount / max(table.shape[0], 1), indices.elementCount)
    planner.addStep("gather", reads: [table, indices], writes: [result]) { arena in
      let from = arena.pointer(table)
      let to = arena.pointer(result)
      let list = arena.pointer(indices).assumingMemoryBound(to: Int64.self)
      return {
        for i in 0..<count {
          let index = Int(list[i]) < 0 ? Int(list[i]) + rows : Int(list[i])
          guard index >= 0, index < rows else {
            throw BessemerError(.modelInput, "index \(list[i]) is outside a table of \(rows) rows")
          }
          (to + i * rowBytes).copyMemory(from: from + index * rowBytes, byteCount: rowBytes)
        }
      }
    }
    planner.define(node.results[0], result)
    return true
  }
}

extension Cast: Kernel {
  func plan(_ node: Node, in planner: inout Planner) throws -> Bool {
    let (operand, result) = (node.operands[0], node.results[0])
    guard planner.isFloat(result) else { return false }
    if planner.isFloat(operand) {
      let source = planner.contiguous(try planner.view(operand))
      guard let from = bk_dtype(source.dtype), let to = bk_dtype(planner.dtype(result)) else { return false }
      let target = planner.allocate(planner.dtype(result), shape: source.shape)
      let (pool, count) = (planner.pool, source.elementCount)
      planner.addStep("cast", reads: [source], writes: [target]) { arena in
        let (input, output) = (arena.pointer(source), arena.pointer(target))
        return { bk_convert(pool, to, output, from, input, count) }
      }
      planner.define(result, target)
      return true
    }
    guard planner.dtype(operand) == .int64, planner.dtype(result) == .float32 else { return false }
    let source = planner.contiguous(try planner.view(operand))
    let target = planner.allocateFloat(result)
    let count = source.elementCount
    planner.addStep("cast", reads: [source], writes: [target]) { arena in
      let input = arena.pointer(source).assumingMemoryBound(to: Int64.self)
      let output = arena.floats(target)
      return { for i in 0..<count { output[i] = Float(input[i]) } }
    }
    planner.define(result, target)
    return true
  }
}
