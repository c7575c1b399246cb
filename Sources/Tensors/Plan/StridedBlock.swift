/// Elements of a tensor and where they go, both through strides; dimensions from the longest step in the tensor to the
/// shortest.
struct StridedBlock {
  let dtype: DType
  /// The element of the tensor that comes first.
  private(set) var offset: Int
  private(set) var shape: [Int] = []
  private(set) var strides: [Int] = []
  private(set) var targetStrides: [Int] = []
  /// The place of the first element in the target.
  private(set) var targetOffset = 0

  /// The elements of a view, which go one after the other.
  init(_ view: StridedView) {
    dtype = view.dtype
    offset = view.offset
    let target = rowMajorStrides(view.shape)
    let order = view.shape.indices.filter { view.shape[$0] > 1 }
      .sorted { (view.strides[$0].magnitude, target[$0]) > (view.strides[$1].magnitude, target[$1]) }
    for k in order {
      // Dimensions that follow each other on both sides are one.
      if let last = shape.indices.last, strides[last] == view.strides[k] * view.shape[k],
        targetStrides[last] == target[k] * view.shape[k]
      {
        shape[last] *= view.shape[k]
        (strides[last], targetStrides[last]) = (view.strides[k], target[k])
      } else {
        shape.append(view.shape[k])
        strides.append(view.strides[k])
        targetStrides.append(target[k])
      }
    }
  }

  /// The elements of the tensor from the first to the last that the dimensions from `first` on lead to, counted from
  /// where they start.
  func span(from first: Int) -> (low: Int, count: Int) {
    var (low, high) = (0, 0)
    for k in first..<shape.count {
      let reach = strides[k] * (shape[k] - 1)
      if reach < 0 { low += reach } else { high += reach }
    }
    return (low, high - low + 1)
  }

  /// Whether the last dimension is a run of elements on both sides.
  var isRun: Bool { dtype.bits >= 8 && strides.last ?? 1 == 1 && targetStrides.last ?? 1 == 1 }

  /// The first of the dimensions that are best read in one go: steps leave gaps of at most `gapByteCount`, and a long
  /// run is not read together with others.
  func runDimension(gapByteCount: Int) -> Int {
    var first = shape.count
    while first > 0 {
      let count = span(from: first).count
      if isRun, first == shape.count - 1, count * dtype.bits >= 8 * StridedBlock.longRunByteCount { break }
      guard (Int(strides[first - 1].magnitude) - count) * dtype.bits / 8 <= gapByteCount else { break }
      first -= 1
    }
    return first
  }

  /// Bytes of a run that is read straight to where it goes.
  private static let longRunByteCount = 16 << 10

  /// The two halves along the longest step.
  var halves: [StridedBlock] {
    var (low, high) = (self, self)
    let middle = shape[0] / 2
    low.shape[0] = middle
    high.shape[0] -= middle
    high.offset += middle * strides[0]
    high.targetOffset += middle * targetStrides[0]
    return [low, high]
  }
}
