public import Tensors

/// The parts of x along `axis`, one result for each of `sizes`.
///
/// - C1: axis is a dimension of x; negative values count from the end.
/// - C2: sizes are not negative, at least one, and their sum is the dimension.
public struct Split: Op {
  public static let schema = OpSchema("split", operands: ["x"], traits: [.view])
  public let axis: Int
  public let sizes: [Int]

  public init(axis: Int, sizes: [Int]) {
    self.axis = axis
    self.sizes = sizes
  }

  public func infer(_ operands: [TensorType]) throws(OpError) -> [TensorType] {
    let x = operands[0]
    try require(x.resolves(axis: axis), "split_c1", "axis \(axis) is not a dimension of \(x)")
    let axis = x.resolved(axis: axis)
    try require(
      !sizes.isEmpty && sizes.allSatisfy { (0...1 << 48).contains($0) }
        && unify(x.dims[axis], .known(sizes.reduce(0, &+))) != nil, "split_c2", "\(x) does not split into \(sizes)")
    return sizes.map { size in
      var part = x
      part.dims[axis] = .known(size)
      return part
    }
  }

  public func evaluate(_ operands: [Tensor]) throws -> [Tensor] {
    let x = operands[0]
    let axis = x.type.resolved(axis: axis)
    var start = 0
    return try sizes.map { size in
      defer { start += size }
      return try x.slice(axis: axis, start: start, step: 1, count: size)
    }
  }
}
