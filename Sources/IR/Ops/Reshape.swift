public import Tensors

/// The same elements under another shape: in `shape`, 0 stands for the dimension of x at that place and -1, at most
/// once, for what remains.
///
/// - C1: shape has no number below -1, -1 at most once, and 0 only where x has a dimension.
/// - C2: the numbers of elements are the same, or -1 makes them so; symbols must cancel.
public struct Reshape: Op {
  public static let schema = OpSchema("reshape", operands: ["x"], traits: [.view])
  public let shape: [Int]

  public init(shape: [Int]) { self.shape = shape }

  public func infer(_ operands: [TensorType]) throws(OpError) -> [TensorType] {
    let x = operands[0]
    try require(
      shape.enumerated().allSatisfy { k, n in n > 0 || n == -1 || n == 0 && k < x.rank }
        && shape.count { $0 == -1 } <= 1, "reshape_c1", "\(shape) is no shape for \(x)")
    var dims = shape.enumerated().map { k, n in n == 0 ? x.dims[k] : Dim.known(n) }
    // What stays in place cancels, also when it is zero or a symbol.
    guard let own = product(x.dims.indices.filter { $0 >= shape.count || shape[$0] != 0 }.map { x.dims[$0] }),
      let written = product(shape.filter { $0 > 0 }.map { .known($0) }), let quotient = own.divided(by: written)
    else { throw OpError("reshape_c2", "\(x) does not take the shape \(shape)") }
    if let index = shape.firstIndex(of: -1) {
      dims[index] = quotient.dim
    } else {
      try require(
        quotient.dim == 1 || quotient.dim == 0 && dims.contains(0), "reshape_c2",
        "\(x) does not take the shape \(shape)")
    }
    return [TensorType(x.dtype, dims)]
  }

  public func evaluate(_ operands: [Tensor]) throws -> [Tensor] {
    [operands[0].reshaped(try infer([operands[0].type])[0].shape!)]
  }
}
