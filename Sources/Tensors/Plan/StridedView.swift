/// Elements of a tensor picked by strides: what transposing, slicing and expanding leave of it without moving a byte.
package struct StridedView: Sendable, Equatable {
  package let dtype: DType
  /// The element of the tensor that comes first.
  package private(set) var offset: Int
  package private(set) var shape: [Int]
  /// In elements of the tensor; zero where a dimension was expanded, negative where it was reversed.
  package private(set) var strides: [Int]

  /// A whole tensor.
  package init(_ dtype: DType, shape: [Int]) {
    self.dtype = dtype
    self.shape = shape
    offset = 0
    strides = rowMajorStrides(shape)
  }

  package var elementCount: Int { shape.reduce(1, *) }

  /// Whether the elements follow each other in the tensor.
  package var isContiguous: Bool {
    guard elementCount > 0 else { return true }
    let expected = rowMajorStrides(shape)
    return shape.indices.allSatisfy { shape[$0] == 1 || strides[$0] == expected[$0] }
  }

  /// Whether kernels, of at most eight dimensions, can move such elements.
  package static func canMove(_ dtype: DType, rank: Int) -> Bool {
    rank <= maximumRank - (dtype == .complex128 ? 1 : 0)
  }

  /// Dimensions of a copy.
  package static let maximumRank = 8

  /// The same elements under another shape; nil when no strides say so.
  package func reshaped(_ shape: [Int]) -> StridedView? {
    guard let strides = isContiguous ? rowMajorStrides(shape) : regrouped(shape) else { return nil }
    var view = self
    view.shape = shape
    view.strides = strides
    return view
  }

  /// Strides of another shape whose dimensions split or join those that are here.
  private func regrouped(_ target: [Int]) -> [Int]? {
    guard elementCount > 0 else { return nil }
    var result = [Int](repeating: 1, count: target.count)
    let own = shape.indices.filter { shape[$0] != 1 }
    let wanted = target.indices.filter { target[$0] != 1 }
    var (i, j) = (0, 0)
    while i < own.count, j < wanted.count {
      // The shortest runs of dimensions on both sides that have as many elements.
      let (first, start) = (i, j)
      var (a, b) = (shape[own[i]], target[wanted[j]])
      while a != b {
        if a < b {
          i += 1
          a *= shape[own[i]]
        } else {
          j += 1
          b *= target[wanted[j]]
        }
      }
      for k in first..<i where strides[own[k]] != strides[own[k + 1]] * shape[own[k + 1]] { return nil }
      var stride = strides[own[i]]
      for k in (start...j).reversed() {
        result[wanted[k]] = stride
        stride *= target[wanted[k]]
      }
      i += 1
      j += 1
    }
    return result
  }

  package func transposed(_ permutation: [Int]) -> StridedView {
    var view = self
    view.shape = permutation.map { shape[$0] }
    view.strides = permutation.map { strides[$0] }
    return view
  }

  /// `count` slices along `axis`, each `step` from the one before.
  package func sliced(axis: Int, first: Int, step: Int, count: Int) -> StridedView {
    var view = self
    view.shape[axis] = count
    // Of one slice or none no step is ever taken, and a huge one must not overflow.
    view.strides[axis] = count > 1 ? strides[axis] * step : strides[axis]
    if count > 0 { view.offset += first * strides[axis] }
    return view
  }

  /// The view broadcast to a shape that follows NumPy's rules.
  package func expanded(_ target: [Int]) -> StridedView {
    let lead = target.count - shape.count
    var view = self
    view.shape = target
    view.strides = target.indices.map { k in
      k < lead || shape[k - lead] == 1 && target[k] != 1 ? 0 : strides[k - lead]
    }
    return view
  }

  /// The bytes of the tensor that these elements, counted in the view's own order, take; nil when they do not follow
  /// each other from a whole byte on to another.
  package func byteRange(_ elements: Range<Int>) -> Range<Int>? {
    guard isContiguous, (offset + elements.lowerBound) * dtype.bits % 8 == 0, elements.count * dtype.bits % 8 == 0
    else { return nil }
    let start = (offset + elements.lowerBound) * dtype.bits / 8
    return start..<(start + elements.count * dtype.bits / 8)
  }

  /// The blocks whose elements, one after the other, are these of the view: the end of a row that began before, whole
  /// rows, the beginning of one that ends later, in each dimension.
  package func forEachBlock(_ elements: Range<Int>, _ body: (StridedView) throws -> Void) rethrows {
    guard !elements.isEmpty else { return }
    guard let size = shape.first, elements.count < elementCount else { return try body(self) }
    let row = elementCount / size
    let inner = sliced(axis: 0, first: 0, step: 1, count: 1).dropping()
    var range = elements
    while !range.isEmpty {
      let (index, column) = range.lowerBound.quotientAndRemainder(dividingBy: row)
      let rowCount = column == 0 ? range.count / row : 0
      let count = rowCount > 0 ? rowCount * row : min(row - column, range.count)
      if rowCount > 0 {
        try body(sliced(axis: 0, first: index, step: 1, count: rowCount))
      } else {
        var part = inner
        part.offset += index * strides[0]
        try part.forEachBlock(column..<(column + count), body)
      }
      range = (range.lowerBound + count)..<range.upperBound
    }
  }

  /// Without the first dimension.
  private func dropping() -> StridedView {
    var view = self
    view.shape.removeFirst()
    view.strides.removeFirst()
    return view
  }
}

/// Row-major strides of a shape, in elements.
package func rowMajorStrides(_ shape: [Int]) -> [Int] {
  var strides = [Int](repeating: 1, count: shape.count)
  for k in shape.indices.dropLast().reversed() { strides[k] = strides[k + 1] * shape[k + 1] }
  return strides
}
