public import Tensors

/// The slices of `data` along `axis` that `indices` name: `y[i…, j…, k…] = data[i…, indices[j…], k…]`. Negative indices
/// count from the end; one outside is an error.
///
/// - C1: indices are whole numbers.
/// - C2: axis is a dimension of data; negative values count from the end.
public struct Gather: Op {
  public static let schema = OpSchema(
    "gather", operands: ["data", "indices"], foreign: [.onnx("Gather", since: 13), .ascend("GatherV2D")])
  public static let defaults: Attributes = ["axis": .int(0)]
  public let axis: Int

  public init(axis: Int = 0) { self.axis = axis }

  public func infer(_ operands: [TensorType]) throws(OpError) -> [TensorType] {
    let (data, indices) = (operands[0], operands[1])
    try require(indices.dtype.isInteger, "gather_c1", "indices must be whole numbers, got \(indices)")
    try require(data.resolves(axis: axis), "gather_c2", "axis \(axis) is not a dimension of \(data)")
    let axis = data.resolved(axis: axis)
    return [TensorType(data.dtype, data.dims[..<axis] + indices.dims + data.dims[(axis + 1)...])]
  }

  public func cost(_ operands: [TensorType], _ results: [TensorType]) -> OpCost {
    // Of the table only what is taken is read.
    OpCost(bytes: operands[1].byteCount + 2 * results[0].byteCount)
  }

  public func evaluate(_ operands: [Tensor]) throws -> [Tensor] {
    let (data, indices) = (operands[0], operands[1])
    let axis = data.type.resolved(axis: axis)
    let size = data.shape[axis]
    let rows = try indices.integers.map { index in
      guard index >= -size, index < size else {
        throw OpError("gather_value", "index \(index) is outside a dimension of \(size)")
      }
      return Int(index < 0 ? index + Int64(size) : index)
    }
    let outer = data.shape[..<axis].reduce(1, *)
    let inner = data.shape[(axis + 1)...].reduce(1, *)
    let runs = (0..<outer).flatMap { block in rows.map { block * size + $0 } }
    return [
      try data.picking(
        runs, length: inner, shape: Array(data.shape[..<axis] + indices.shape + data.shape[(axis + 1)...]))
    ]
  }
}
