public import Tensors

/// Every `step`-th slice of x along `axis` from `start` up to, not including, `end`. Negative bounds count from the
/// end, bounds outside are moved to the edge, `Int.max` and `Int.min` are the edges: as in ONNX.
///
/// - C1: axis is a dimension of x; negative values count from the end.
/// - C2: step is not zero.
/// - C3: what remains of a symbolic dimension must follow: step is 1, and not a negative start with another end.
public struct Slice: Op {
  public static let schema = OpSchema("slice", operands: ["x"], traits: [.view])
  public static let defaults: Attributes = ["start": .int(0), "end": .int(.max), "step": .int(1)]
  public let axis: Int
  public let start: Int
  public let end: Int
  public let step: Int

  public init(axis: Int, start: Int = 0, end: Int = .max, step: Int = 1) {
    self.axis = axis
    self.start = start
    self.end = end
    self.step = step
  }

  public func infer(_ operands: [TensorType]) throws(OpError) -> [TensorType] {
    let x = operands[0]
    try require(x.resolves(axis: axis), "slice_c1", "axis \(axis) is not a dimension of \(x)")
    try require(step != 0, "slice_c2", "step is zero")
    var result = x
    let axis = x.resolved(axis: axis)
    if case .known(let size) = x.dims[axis] {
      result.dims[axis] = .known(range(of: size).count)
    } else if let dim = remainder(of: x.dims[axis]) {
      result.dims[axis] = dim
    } else {
      throw OpError("slice_c3", "what \(start) to \(end) by \(step) leaves of \(x) does not follow")
    }
    return [result]
  }

  /// What the slice leaves of a symbolic dimension, taken to be large enough; nil when that does not follow.
  private func remainder(of dim: Dim) -> Dim? {
    let limit = 1 << 48
    guard step == 1, start.magnitude <= limit, end == .max || end.magnitude <= limit else { return nil }
    switch (start < 0, end < 0) {
    case (false, false): return end == .max ? dim + .known(-start) : .known(max(end - start, 0))
    case (false, true): return dim + .known(end - start)
    case (true, false): return end == .max ? .known(-start) : nil
    case (true, true): return .known(max(end - start, 0))
    }
  }

  /// The first index and the number of indices in a dimension of `size`.
  func range(of size: Int) -> (first: Int, count: Int) {
    func clamped(_ bound: Int, _ least: Int, _ greatest: Int) -> Int {
      min(max(bound < 0 ? bound + size : bound, least), greatest)
    }
    if step > 0 {
      let (first, last) = (clamped(start, 0, size), clamped(end, 0, size))
      return (first, last > first ? (last - first - 1) / step + 1 : 0)
    }
    let (first, last) = (clamped(start, -1, size - 1), clamped(end, -1, size - 1))
    return (first, first > last ? (first - last - 1) / Int(clamping: step.magnitude) + 1 : 0)
  }

  public func evaluate(_ operands: [Tensor]) throws -> [Tensor] {
    let x = operands[0]
    let axis = x.type.resolved(axis: axis)
    let (first, count) = range(of: x.shape[axis])
    return [try x.slice(axis: axis, start: first, step: step, count: count)]
  }
}
