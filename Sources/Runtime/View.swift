import IR
import Tensors

/// Memory that a value lies in.
enum Location: Hashable {
  /// A slot of the plan's arena.
  case slot(Int)
  /// Memory that outlives the run: a parameter, or a state's buffer.
  case fixed(UnsafeMutableRawPointer)
}

/// A strided window of memory as a value of a plan: where element 0 lies and how to get to the others.
struct View: Equatable {
  var location: Location
  /// Elements from the location's start to element 0.
  var offset: Int
  let dtype: DType
  var shape: [Int]
  /// Elements between neighbours along each dimension.
  var strides: [Int]

  /// Row-major memory from the start of `location`.
  init(_ location: Location, _ dtype: DType, shape: [Int]) {
    self.location = location
    self.offset = 0
    self.dtype = dtype
    self.shape = shape
    self.strides = rowMajorStrides(shape)
  }

  /// Whether both are walked in the same way from the same place, however far.
  func walks(as other: View) -> Bool {
    (location, offset, dtype, rank) == (other.location, other.offset, other.dtype, other.rank)
      && shape.indices.allSatisfy { max(shape[$0], other.shape[$0]) <= 1 || strides[$0] == other.strides[$0] }
  }

  var rank: Int { shape.count }
  var elementCount: Int { shape.reduce(1, *) }
  /// Bytes per element; types below a byte only run by their plain meaning.
  var elementSize: Int { dtype.bits / 8 }
  var byteCount: Int { (elementCount * dtype.bits + 7) / 8 }

  /// Whether elements lie in row-major order without gaps.
  var isContiguous: Bool {
    var expected = 1
    for k in shape.indices.reversed() {
      if shape[k] != 1, strides[k] != expected { return false }
      expected *= shape[k]
    }
    return true
  }

  /// The order of dimensions, outermost first, in which the elements lie without gaps; nil when there are gaps.
  var denseOrder: [Int]? {
    let order = shape.indices.sorted { (-strides[$0], $0) < (-strides[$1], $1) }
    return transposed(order).isContiguous ? order : nil
  }

  /// Whether neighbours in the last dimension are neighbours in memory.
  var isDense: Bool { (shape.last ?? 1) == 1 || strides[rank - 1] == 1 }

  /// The view as [rows, last dimension] with one stride between rows, or nil when the leading dimensions do not
  /// collapse.
  var rows: (count: Int, width: Int, stride: Int)? {
    guard rank > 0, isDense else { return rank == 0 ? (1, 1, 1) : nil }
    let count = shape.dropLast().reduce(1, *)
    guard let stride = collapsed(0..<(rank - 1)), stride > 0 || count <= 1 else { return nil }
    return (count, shape[rank - 1], count <= 1 ? shape[rank - 1] : stride)
  }

  /// The one stride that walks all of these dimensions in row-major order, or nil; 0 when they have one element.
  func collapsed(_ dims: Range<Int>) -> Int? {
    var stride: Int?
    var expected = 0
    for k in dims.reversed() where shape[k] != 1 {
      if stride == nil {
        stride = strides[k]
      } else if strides[k] != expected {
        return nil
      }
      expected = strides[k] * shape[k]
    }
    return stride ?? 0
  }

  // MARK: Windows without copying

  func transposed(_ permutation: [Int]) -> View {
    var result = self
    result.shape = permutation.map { shape[$0] }
    result.strides = permutation.map { strides[$0] }
    return result
  }

  func sliced(_ axis: Int, from start: Int, count: Int, step: Int = 1) -> View {
    var result = self
    if count > 0 { result.offset += start * strides[axis] }
    result.shape[axis] = count
    result.strides[axis] *= step
    return result
  }

  func expanded(to shape: [Int]) -> View {
    var result = self
    for k in shape.indices where self.shape[k] != shape[k] { result.strides[k] = 0 }
    result.shape = shape
    return result
  }

  /// The view under another shape of as many elements, or nil when that needs a copy.
  func reshaped(_ newShape: [Int]) -> View? {
    var result = self
    result.shape = newShape
    result.strides = rowMajorStrides(newShape)
    if isContiguous || elementCount == 0 { return result }
    // Runs of old dimensions with one stride, last first; each is cut into new dimensions from behind.
    var runs: [(size: Int, stride: Int)] = []
    for k in shape.indices.reversed() where shape[k] != 1 {
      if let run = runs.last, run.size * run.stride == strides[k] {
        runs[runs.count - 1].size *= shape[k]
      } else {
        runs.append((shape[k], strides[k]))
      }
    }
    var next = 0
    for k in newShape.indices.reversed() where newShape[k] != 1 {
      guard runs[next].size % newShape[k] == 0 else { return nil }
      result.strides[k] = runs[next].stride
      runs[next].size /= newShape[k]
      runs[next].stride *= newShape[k]
      if runs[next].size == 1 { next += 1 }
    }
    return result
  }
}
