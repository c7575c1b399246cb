public import Tensors

/// Tensors one after the other along `axis`.
///
/// - C1: all operands have the same element type.
/// - C2: axis is a dimension of the first operand; negative values count from the end.
/// - C3: all other dimensions are the same.
public struct Concat: Op {
  public static let schema = OpSchema(
    "concat", operands: ["x"], isVariadic: true, traits: [.copy],
    foreign: [.onnx("Concat", since: 13), .ascend("ConcatD")])
  public let axis: Int

  public init(axis: Int) { self.axis = axis }

  public func infer(_ operands: [TensorType]) throws(OpError) -> [TensorType] {
    let first = operands[0]
    try require(
      operands.allSatisfy { $0.dtype == first.dtype }, "concat_c1", "operands must have one type, got \(operands)")
    try require(first.resolves(axis: axis), "concat_c2", "axis \(axis) is not a dimension of \(first)")
    let axis = first.resolved(axis: axis)
    var dims = first.dims
    for operand in operands.dropFirst() {
      try require(operand.rank == first.rank, "concat_c3", "\(first) and \(operand) do not concatenate")
      for k in dims.indices {
        if k == axis {
          dims[k] = dims[k] + operand.dims[k]
          try require(dims[k].isWithinLimits, "concat_limit", "\(dims[k]) is too large")
        } else if let dim = unify(dims[k], operand.dims[k]) {
          dims[k] = dim
        } else {
          throw OpError("concat_c3", "\(first) and \(operand) do not concatenate along \(axis)")
        }
      }
    }
    return [TensorType(first.dtype, dims)]
  }

  public func evaluate(_ operands: [Tensor]) throws -> [Tensor] {
    let axis = operands[0].type.resolved(axis: axis)
    var shape = operands[0].shape
    shape[axis] = operands.reduce(0) { $0 + $1.shape[axis] }
    let outer = shape[..<axis].reduce(1, *)
    let inner = shape[(axis + 1)...].reduce(1, *)
    var starts: [Int] = []
    for operand in operands { starts.append((starts.last ?? 0) + operand.elementCount) }
    starts = [0] + starts.dropLast()
    let elements = (0..<outer).flatMap { block in
      zip(operands, starts).flatMap { operand, start in
        let run = operand.shape[axis] * inner
        return start + block * run..<start + (block + 1) * run
      }
    }
    return [try Tensor.flat(operands).picking(elements, shape: shape)]
  }
}
