import Tensors

/// Elements of a tensor picked by strides: what transposing, slicing and expanding leave of it without moving a byte.
struct StridedView: Sendable {
  /// The value whose tensor is looked at.
  let source: ValueID
  let dtype: DType
  /// The element of the source that comes first.
  var offset: Int
  var shape: [Int]
  /// In elements of the source; zero where a dimension was expanded, negative where it was reversed.
  var strides: [Int]

  /// The whole tensor of a value.
  init(_ source: ValueID, _ dtype: DType, shape: [Int]) {
    self.source = source
    self.dtype = dtype
    self.shape = shape
    offset = 0
    strides = rowMajorStrides(shape)
  }

  var elementCount: Int { shape.reduce(1, *) }

  /// Whether the elements follow each other in the source.
  var isContiguous: Bool {
    guard elementCount > 0 else { return true }
    let expected = rowMajorStrides(shape)
    return shape.indices.allSatisfy { shape[$0] == 1 || strides[$0] == expected[$0] }
  }

  /// Whether elements can be moved one by one, by kernels of at most eight dimensions.
  static func canMove(_ dtype: DType, rank: Int) -> Bool { [8, 16, 32, 64].contains(dtype.bits) && rank <= 8 }

  /// The same elements under another shape; nil when they do not follow each other.
  func reshaped(_ shape: [Int]) -> StridedView? {
    guard isContiguous else { return nil }
    var view = self
    view.shape = shape
    view.strides = rowMajorStrides(shape)
    return view
  }

  func transposed(_ permutation: [Int]) -> StridedView {
    var view = self
    view.shape = permutation.map { shape[$0] }
    view.strides = permutation.map { strides[$0] }
    return view
  }

  /// `count` slices along `axis`, each `step` from the one before.
  func sliced(axis: Int, first: Int, step: Int, count: Int) -> StridedView {
    var view = self
    view.shape[axis] = count
    // Of one slice or none no step is ever taken, and a huge one must not overflow.
    view.strides[axis] = count > 1 ? strides[axis] * step : strides[axis]
    if count > 0 { view.offset += first * strides[axis] }
    return view
  }

  /// The view broadcast to a shape that follows NumPy's rules.
  func expanded(_ target: [Int]) -> StridedView {
    let lead = target.count - shape.count
    var view = self
    view.shape = target
    view.strides = target.indices.map { k in
      k < lead || shape[k - lead] == 1 && target[k] != 1 ? 0 : strides[k - lead]
    }
    return view
  }

  /// The bytes of all elements in the source's, when they follow each other from a whole byte on.
  func window(of bytes: Bytes) -> Bytes? { window(0..<elementCount, of: bytes) }

  /// The bytes of these elements, counted in the view's own order.
  func window(_ elements: Range<Int>, of bytes: Bytes) -> Bytes? {
    guard isContiguous, (offset + elements.lowerBound) * dtype.bits % 8 == 0, elements.count * dtype.bits % 8 == 0
    else { return nil }
    let start = (offset + elements.lowerBound) * dtype.bits / 8
    return bytes[start..<(start + elements.count * dtype.bits / 8)]
  }

  /// Copies these elements, counted in the view's own order, to `target`, which has room for them.
  func copy(_ elements: Range<Int>, of bytes: Bytes, to target: UnsafeMutableRawBufferPointer) {
    guard !elements.isEmpty, let output = target.baseAddress else { return }
    if let window = window(elements, of: bytes) {
      window.withUnsafeBytes { output.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
      return
    }
    precondition(StridedView.canMove(dtype, rank: shape.count) && target.count >= elements.count * dtype.bits / 8)
    bytes.withUnsafeBytes { raw in
      guard let input = raw.baseAddress else { return }
      copy(elements, dimension: 0, offset, from: input, to: output)
    }
  }

  /// Copies a range of the block that starts at element `start` and has the dimensions from `dimension` on.
  ///
  /// Unsafe: operators' inference has checked that shape, strides and offset stay inside the source.
  private func copy(
    _ elements: Range<Int>, dimension: Int, _ start: Int, from input: UnsafeRawPointer,
    to output: UnsafeMutableRawPointer
  ) {
    let size = dtype.bits / 8
    guard dimension < shape.count else {
      output.copyMemory(from: input + start * size, byteCount: size)
      return
    }
    let row = shape[(dimension + 1)...].reduce(1, *)
    var range = elements
    var output = output
    // The end of a row that began before, whole rows, the beginning of one that ends later.
    while !range.isEmpty {
      let (index, column) = range.lowerBound.quotientAndRemainder(dividingBy: row)
      let rowCount = column == 0 ? range.count / row : 0
      let count = rowCount > 0 ? rowCount * row : min(row - column, range.count)
      let begin = start + index * strides[dimension]
      if rowCount > 0 {
        let part = [rowCount] + shape[(dimension + 1)...]
        copyStrided(
          elementByteCount: size, shape: part, to: output, rowMajorStrides(part), from: input + begin * size,
          Array(strides[dimension...]))
      } else {
        copy(column..<(column + count), dimension: dimension + 1, begin, from: input, to: output)
      }
      output += count * size
      range = (range.lowerBound + count)..<range.upperBound
    }
  }
}
