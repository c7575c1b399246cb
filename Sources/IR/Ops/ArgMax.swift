public import Tensors

/// The first index of the greatest element along `axis`; a NaN counts as greatest.
///
/// - C1: x is a real number.
/// - C2: axis is a dimension of x; negative values count from the end.
/// - C3: that dimension is not zero.
public struct ArgMax: Op {
  public static let schema = OpSchema(
    "argmax", operands: ["x"], foreign: [.onnx("ArgMax", since: 13), .ascend("ArgMaxD")])
  public static let defaults: Attributes = ["keepDims": .bool(true)]
  public let axis: Int
  public let keepDims: Bool

  public init(axis: Int, keepDims: Bool = true) {
    self.axis = axis
    self.keepDims = keepDims
  }

  public func infer(_ operands: [TensorType]) throws(OpError) -> [TensorType] {
    let x = operands[0]
    try require(x.dtype.isFloat || x.dtype.isInteger, "argmax_c1", "x must be a number, got \(x)")
    try require(x.resolves(axis: axis), "argmax_c2", "axis \(axis) is not a dimension of \(x)")
    var dims = x.dims
    let dim = dims.remove(at: x.resolved(axis: axis))
    try require(dim != 0, "argmax_c3", "dimension \(axis) of \(x) is zero")
    if keepDims { dims.insert(1, at: x.resolved(axis: axis)) }
    return [TensorType(.int64, dims)]
  }

  public func evaluate(_ operands: [Tensor]) throws -> [Tensor] {
    let x = operands[0]
    let shape = try infer([x.type])[0].shape!
    func indices<T>(_ values: [T], _ isGreater: (T, T) -> Bool) -> [Int64] {
      var result: [Int64] = []
      x.forEachLine(along: x.type.resolved(axis: axis)) { line in
        var best = (index: 0, place: line.first { _ in true }!)
        for (index, place) in line.enumerated() where isGreater(values[place], values[best.place]) {
          best = (index, place)
        }
        result.append(Int64(best.index))
      }
      return result
    }
    let result =
      x.dtype.isFloat
      ? indices(x.doubles) { $0 > $1 || $0.isNaN && !$1.isNaN }
      : x.dtype == .uint64 ? indices(x.unsignedIntegers, >) : indices(x.integers, >)
    return [Tensor(result, shape: shape)]
  }
}
