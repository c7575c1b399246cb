import CKernels
import IR
import Tensors

extension MixtureOfExperts: Kernel {
  /// Takes the rows that go to one expert together through its matrices. Matrices are prepared when a row first goes to
  /// their expert.
  func plan(_ node: Node, in planner: inout Planner) throws -> Bool {
    let experts = Array(node.operands[MixtureOfExperts.firstExpert...])
    let parameters = planner.model.parameters
    guard planner.isFloat(node.operands[0]), planner.isFloat(node.operands[1]),
      planner.dtype(node.operands[2]) == .int64, experts.allSatisfy(parameters.isParameter),
      let inner = planner.shape(experts[0]).first
    else { return false }
    let x = planner.inRows(try planner.floatView(node.operands[0]))
    let weights = planner.contiguous(try planner.floatView(node.operands[1]))
    let indices = planner.contiguous(try planner.view(node.operands[2]))
    guard let rows = x.rows, rows.count > 0, let chosen = indices.shape.last else { return false }
    // The rows of one expert and what it makes of them; gate and up beside each other.
    let gathered = planner.allocate(.float32, shape: [rows.count, rows.width])
    let hidden = planner.allocate(.float32, shape: [rows.count, 2 * inner])
    let y = planner.allocateFloat(node.results[0])
    let (pool, activation) = (planner.pool, activation.kernel)
    let compute = planner.compute(reading: node.operands[0])
    planner.addStep("mixture_of_experts", reads: [x, weights, indices], writes: [gathered, hidden, y]) { arena in
      let (input, output) = (arena.floats(x), arena.floats(y))
      let (block, wide, shares) = (arena.floats(gathered), arena.floats(hidden), arena.floats(weights))
      let numbers = UnsafeBufferPointer(
        start: arena.pointer(indices).assumingMemoryBound(to: Int64.self), count: indices.elementCount)
      return {
        output.update(repeating: 0, count: rows.count * rows.width)
        let places = try Places(numbers, experts: experts.count / 3, mostAtOnce: rows.count)
        for (expert, places) in places.runs {
          let (gate, up, down) = (
            try parameters.matrix(experts[3 * expert]), try parameters.matrix(experts[3 * expert + 1]),
            try parameters.matrix(experts[3 * expert + 2])
          )
          for (k, place) in places.enumerated() {
            (block + k * rows.width).update(from: input + place / chosen * rows.stride, count: rows.width)
          }
          let (own, left) = (FloatRows(block, rows.width), FloatRows(wide, 2 * inner))
          let right = FloatRows(wide + inner, 2 * inner)
          try gate.multiply(pool, gate.arguments(own, count: places.count, to: left, compute, activation))
          try up.multiply(pool, up.arguments(own, count: places.count, to: right, compute))
          for k in 0..<places.count {
            let row = wide + k * 2 * inner
            for i in 0..<inner { row[i] *= row[inner + i] }
          }
          try down.multiply(pool, down.arguments(left, count: places.count, to: own, compute))
          for (k, place) in places.enumerated() {
            let (sum, term, share) = (output + place / chosen * rows.width, block + k * rows.width, shares[place])
            for i in 0..<rows.width { sum[i] += share * term[i] }
          }
        }
      }
    }
    try planner.finish(node.results[0], y)
    return true
  }
}

/// The places of a list of experts, sorted by expert.
struct Places {
  /// Experts with places where they stand, at most so many at once.
  let runs: [(expert: Int, places: ArraySlice<Int>)]

  init(_ indices: UnsafeBufferPointer<Int64>, experts: Int, mostAtOnce: Int) throws {
    var ends = [Int](repeating: 0, count: experts)
    for index in indices {
      guard index >= 0, index < experts else {
        throw BessemerError(.modelInput, "index \(index) names none of \(experts) experts")
      }
      ends[Int(index)] += 1
    }
    for expert in 1..<experts { ends[expert] += ends[expert - 1] }
    var sorted = [Int](repeating: 0, count: indices.count)
    var starts = ends
    for place in indices.indices.reversed() {
      starts[Int(indices[place])] -= 1
      sorted[starts[Int(indices[place])]] = place
    }
    runs = (0..<experts).flatMap { expert in
      stride(from: starts[expert], to: ends[expert], by: mostAtOnce).map { start in
        (expert, sorted[start..<min(start + mostAtOnce, ends[expert])])
      }
    }
  }
}
