import CKernels
import IR
import Tensors

// Operators of few numbers that choose experts.

extension TopK: Kernel {
  /// More than these are found by sorting.
  private static let most = 64

  func plan(_ node: Node, in planner: inout Planner) throws -> Bool {
    guard k <= TopK.most, planner.isFloat(node.operands[0]) else { return false }
    let x = planner.inRows(try planner.floatView(node.operands[0]))
    guard let rows = x.rows else { return false }
    let values = planner.allocateFloat(node.results[0])
    let indices = planner.allocate(.int64, shape: planner.shape(node.results[1]))
    let k = k
    planner.addStep("topk", reads: [x], writes: [values, indices]) { arena in
      let (input, best) = (arena.floats(x), arena.floats(values))
      let places = arena.pointer(indices).assumingMemoryBound(to: Int64.self)
      return {
        for row in 0..<rows.count {
          TopK.choose(input + row * rows.stride, rows.width, k, best + row * k, places + row * k)
        }
      }
    }
    try planner.finish(node.results[0], values)
    planner.define(node.results[1], indices)
    return true
  }

  /// Keeps the greatest so far in order; a later one goes behind its equals.
  private static func choose(
    _ x: UnsafePointer<Float>, _ count: Int, _ k: Int, _ best: UnsafeMutablePointer<Float>,
    _ places: UnsafeMutablePointer<Int64>
  ) {
    func isGreater(_ a: Float, _ b: Float) -> Bool { a > b || a.isNaN && !b.isNaN }
    var kept = 0
    for i in 0..<count {
      guard kept < k || isGreater(x[i], best[k - 1]) else { continue }
      var place = min(kept, k - 1)
      while place > 0, isGreater(x[i], best[place - 1]) {
        (best[place], places[place]) = (best[place - 1], places[place - 1])
        place -= 1
      }
      (best[place], places[place]) = (x[i], Int64(i))
      kept = min(kept + 1, k)
    }
  }
}

extension GatherElements: Kernel {
  /// Along the last dimension.
  func plan(_ node: Node, in planner: inout Planner) throws -> Bool {
    let data = planner.inRows(try planner.view(node.operands[0]))
    guard axis == -1 || axis == data.rank - 1, data.rank > 0, planner.dtype(node.operands[1]) == .int64,
      let rows = data.rows
    else { return false }
    let indices = planner.contiguous(try planner.view(node.operands[1]))
    let result = planner.allocate(data.dtype, shape: indices.shape)
    let (count, size) = (indices.shape[indices.rank - 1], data.elementSize)
    planner.addStep("gather_elements", reads: [data, indices], writes: [result]) { arena in
      let (from, to) = (arena.pointer(data), arena.pointer(result))
      let list = arena.pointer(indices).assumingMemoryBound(to: Int64.self)
      return {
        for place in 0..<rows.count * count {
          let index = list[place] < 0 ? Int(list[place]) + rows.width : Int(list[place])
          guard index >= 0, index < rows.width else {
            throw BessemerError(.modelInput, "index \(list[place]) is outside a dimension of \(rows.width)")
          }
          (to + place * size).copyMemory(from: from + (place / count * rows.stride + index) * size, byteCount: size)
        }
      }
    }
    planner.define(node.results[0], result)
    return true
  }
}

/// A reduction over the last dimension.
protocol RowReduction: Reduction, Kernel {
  static func reduce(_ row: UnsafeBufferPointer<Float>) -> Double
}

extension RowReduction {
  func plan(_ node: Node, in planner: inout Planner) throws -> Bool {
    let rank = planner.shape(node.operands[0]).count
    guard planner.isFloat(node.operands[0]), axes == [-1] || axes == [rank - 1], rank > 0 else { return false }
    let x = planner.inRows(try planner.floatView(node.operands[0]))
    let y = planner.allocateFloat(node.results[0])
    guard let rows = x.rows, rows.width > 0 else { return false }
    planner.addStep(Self.schema.name, reads: [x], writes: [y]) { arena in
      let (input, output) = (arena.floats(x), arena.floats(y))
      return {
        for r in 0..<rows.count {
          output[r] = Float(Self.reduce(UnsafeBufferPointer(start: input + r * rows.stride, count: rows.width)))
        }
      }
    }
    try planner.finish(node.results[0], y)
    return true
  }
}

extension ReduceMean: RowReduction {
  static func reduce(_ row: UnsafeBufferPointer<Float>) -> Double {
    Double(CascadeSum.sum(row) / Float(row.count))
  }
}

extension ReduceSum: RowReduction {
  static func reduce(_ row: UnsafeBufferPointer<Float>) -> Double { Double(CascadeSum.sum(row)) }
}

extension ReduceMax: RowReduction {
  static func reduce(_ row: UnsafeBufferPointer<Float>) -> Double {
    row.reduce(-.infinity) { $1 > Float($0) || $1.isNaN ? Double($1) : $0 }
  }
}
