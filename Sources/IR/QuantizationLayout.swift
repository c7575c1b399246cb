import Tensors

/// Which element of scale and zero point goes with an element of a quantized tensor.
///
/// A scalar goes with all. Without `block`, a vector goes along `axis`. With it, scale has the dimensions of x, but
/// `axis` divided by `block`, and each goes with that many consecutive elements.
struct QuantizationLayout {
  let axis: Int
  let block: Int

  /// Whether `scale` has a shape that goes with `x`.
  func accepts(_ scale: TensorType, for x: TensorType) -> Bool {
    guard block >= 0 else { return false }
    if block == 0, scale.rank == 0 { return true }
    guard x.resolves(axis: axis) else { return false }
    let axis = x.resolved(axis: axis)
    if block == 0 { return scale.isVector(of: x.dims[axis]) }
    guard scale.rank == x.rank, case .known(let size) = x.dims[axis], size % block == 0 else { return false }
    return x.dims.indices.allSatisfy { k in
      unify(scale.dims[k], k == axis ? .known(size / block) : x.dims[k]) != nil
    }
  }

  /// For each element of a tensor of `shape`, the number of its scale.
  func indices(_ shape: [Int], scaleRank: Int) -> [Int] {
    let count = shape.reduce(1, *)
    guard scaleRank > 0 else { return [Int](repeating: 0, count: count) }
    let axis = axis < 0 ? axis + shape.count : axis
    let inner = shape[(axis + 1)...].reduce(1, *)
    if block == 0 { return (0..<count).map { $0 / inner % shape[axis] } }
    let blocks = shape[axis] / block
    return (0..<count).map { index in
      let (line, along) = (index / inner / shape[axis], index / inner % shape[axis])
      return (line * blocks + along / block) * inner + index % inner
    }
  }
}

extension DType {
  /// The range that quantized values saturate to, or nil for a type that is not quantized to: whole numbers of at most
  /// 32 bits and floats of at most 8, by the largest finite number.
  var quantizedRange: ClosedRange<Double>? {
    if bits <= 32, let range = integerRange { return Double(range.least)...Double(range.greatest) }
    let largest: Double? =
      switch self {
      case .float8e4m3fn: 448
      case .float8e4m3fnuz: 240
      case .float8e5m2, .float8e5m2fnuz: 57344
      case .hifloat8: 32768
      case .float6e2m3: 7.5
      case .float6e3m2: 28
      case .float4e2m1: 6
      default: nil
      }
    return largest.map { -$0...$0 }
  }
}
