public import Tensors

/// For each index the element of `data` at its own place but, along `axis`, at the index:
/// `y[i…, j, k…] = data[i…, indices[i…, j, k…], k…]`. Negative indices count from the end; one outside is an error.
///
/// - C1: indices are whole numbers.
/// - C2: axis is a dimension of data; negative values count from the end.
/// - C3: indices have the dimensions of data in all but `axis`.
public struct GatherElements: Op {
  public static let schema = OpSchema(
    "gather_elements", operands: ["data", "indices"], traits: [.copy], foreign: [.onnx("GatherElements", since: 13)])
  public static let defaults: Attributes = ["axis": .int(0)]
  public let axis: Int

  public init(axis: Int = 0) { self.axis = axis }

  public func infer(_ operands: [TensorType]) throws(OpError) -> [TensorType] {
    let (data, indices) = (operands[0], operands[1])
    try require(indices.dtype.isInteger, "gather_elements_c1", "indices must be whole numbers, got \(indices)")
    try require(data.resolves(axis: axis), "gather_elements_c2", "axis \(axis) is not a dimension of \(data)")
    let axis = data.resolved(axis: axis)
    try require(
      indices.rank == data.rank
        && data.dims.indices.allSatisfy { $0 == axis || unify(data.dims[$0], indices.dims[$0]) != nil },
      "gather_elements_c3", "indices \(indices) do not go with \(data)")
    return [TensorType(data.dtype, indices.dims)]
  }

  public func evaluate(_ operands: [Tensor]) throws -> [Tensor] {
    let (data, indices) = (operands[0], operands[1])
    let axis = data.type.resolved(axis: axis)
    let (size, count) = (data.shape[axis], indices.shape[axis])
    let inner = data.shape[(axis + 1)...].reduce(1, *)
    let places = try indices.integers.enumerated().map { place, index in
      guard index >= -size, index < size else {
        throw OpError("gather_elements_value", "index \(index) is outside a dimension of \(size)")
      }
      let (outer, rest) = (place / inner / count, place % inner)
      return (outer * size + Int(index < 0 ? index + Int64(size) : index)) * inner + rest
    }
    return [try data.picking(places, shape: indices.shape)]
  }
}
