public import Tensors

/// Dimensions in another order: dimension k of the result is dimension `permutation[k]` of x.
///
/// - C1: permutation names each dimension of x once, from the front.
public struct Transpose: Op {
  public static let schema = OpSchema(
    "transpose", operands: ["x"], traits: [.view], foreign: [.onnx("Transpose", since: 13), .ascend("TransposeD")])
  public let permutation: [Int]

  public init(permutation: [Int]) { self.permutation = permutation }

  public func infer(_ operands: [TensorType]) throws(OpError) -> [TensorType] {
    let x = operands[0]
    try require(
      permutation.sorted() == Array(0..<x.rank), "transpose_c1", "\(permutation) does not order the dimensions of \(x)")
    return [TensorType(x.dtype, permutation.map { x.dims[$0] })]
  }

  public func evaluate(_ operands: [Tensor]) throws -> [Tensor] {
    let x = operands[0]
    let strides = rowMajorStrides(x.shape)
    let shape = permutation.map { x.shape[$0] }
    return [try x.picking(offsets(shape, strides: permutation.map { strides[$0] }), shape: shape)]
  }
}
