import IR
import Tensors

extension ArgMax: Kernel {
  /// Along the last dimension of floating point; a NaN counts as greatest.
  func plan(_ node: Node, in planner: inout Planner) throws -> Bool {
    let type = planner.graph.type(of: node.operands[0])
    guard planner.isFloat(node.operands[0]), axis == -1 || axis == type.rank - 1 else { return false }
    let x = planner.inRows(try planner.floatView(node.operands[0]))
    guard let rows = x.rows, rows.width > 0 else { return false }
    let y = planner.allocate(.int64, shape: planner.shape(node.results[0]))
    planner.addStep("argmax", reads: [x], writes: [y]) { arena in
      let (input, output) = (arena.floats(x), arena.pointer(y).assumingMemoryBound(to: Int64.self))
      return {
        for row in 0..<rows.count {
          let values = input + row * rows.stride
          var best = 0
          // Neither greater nor less nor equal: a NaN ends the search.
          for k in 1..<rows.width where !(values[k] <= values[best]) {
            if values[best].isNaN { break }
            best = k
          }
          output[row] = Int64(best)
        }
      }
    }
    planner.define(node.results[0], y)
    return true
  }
}
