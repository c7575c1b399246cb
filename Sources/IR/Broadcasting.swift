package import Tensors

/// NumPy's broadcasting rules over types, and walking tensors by index.
extension TensorType {
  /// Whether `axis` names a dimension; negative values count from the end.
  func resolves(axis: Int) -> Bool { axis >= -rank && axis < rank }

  /// `axis` from the front.
  package func resolved(axis: Int) -> Int { axis < 0 ? axis + rank : axis }
}

/// The dimension that `a` and `b` broadcast to, or nil. A symbol against another number than 1 is taken to be that
/// number; running checks it.
package func broadcast(_ a: Dim, _ b: Dim) -> Dim? {
  if a == b || b == 1 { return a }
  if a == 1 { return b }
  switch (a, b) {
  case (.known, .symbol): return a
  case (.symbol, .known): return b
  default: return nil
  }
}

/// The dimension that `a` and `b`, which must be the same, are, or nil. A symbol against a number is taken to be that
/// number; running checks it.
package func unify(_ a: Dim, _ b: Dim) -> Dim? {
  if a == b { return a }
  switch (a, b) {
  case (.known, .symbol): return a
  case (.symbol, .known): return b
  default: return nil
  }
}

/// Whether dimensions broadcast to those of `target` without changing them.
package func broadcasts(_ dims: [Dim], to target: [Dim]) -> Bool {
  guard dims.count <= target.count else { return false }
  return zip(dims.reversed(), target.reversed()).allSatisfy { $0 == 1 || unify($0, $1) != nil }
}

/// The dimensions that all of `lists` broadcast to, or nil when they do not.
package func broadcast(_ lists: [[Dim]]) -> [Dim]? {
  if lists.count == 2, lists[0] == lists[1] { return lists[0] }
  let rank = lists.map(\.count).max() ?? 0
  var result = [Dim](repeating: 1, count: rank)
  for list in lists {
    for (k, dim) in list.enumerated() {
      let at = rank - list.count + k
      guard let joined = broadcast(result[at], dim) else { return nil }
      result[at] = joined
    }
  }
  return result
}

/// For each element of `shape` in row-major order, the offset given by `strides`.
package func offsets(_ shape: [Int], strides: [Int]) -> [Int] {
  let count = shape.reduce(1, *)
  var result: [Int] = []
  guard count > 0 else { return [] }
  result.reserveCapacity(count)
  var index = [Int](repeating: 0, count: shape.count)
  var offset = 0
  for _ in 0..<count {
    result.append(offset)
    var k = shape.count - 1
    while k >= 0 {
      index[k] += 1
      offset += strides[k]
      if index[k] < shape[k] { break }
      offset -= strides[k] * shape[k]
      index[k] = 0
      k -= 1
    }
  }
  return result
}

extension Tensor {
  /// For each element of the broadcast `shape`, the index of this tensor's element.
  package func broadcastIndices(to shape: [Int]) -> [Int] {
    let lead = shape.count - self.shape.count
    let own = rowMajorStrides(self.shape)
    let strides = shape.indices.map { $0 < lead || self.shape[$0 - lead] == 1 ? 0 : own[$0 - lead] }
    return offsets(shape, strides: strides)
  }

  /// Calls `body` with the element indices of each line of elements along `axis`, given from the front.
  package func forEachLine(along axis: Int, _ body: (StrideTo<Int>) -> Void) {
    let inner = shape[(axis + 1)...].reduce(1, *)
    let outer = shape[..<axis].reduce(1, *)
    let length = shape[axis]
    for o in 0..<outer {
      for i in 0..<inner {
        let start = o * length * inner + i
        body(stride(from: start, to: start + length * inner, by: inner))
      }
    }
  }
}
