public import Tensors

/// x repeated along dimensions of 1, and along new ones in front. In `shape`, 0 and -1 keep the dimension of x.
///
/// - C1: shape has at least as many dimensions as x, and a number above zero for each new one.
/// - C2: where a number is written, the dimension of x is 1 or that number.
public struct Expand: Op {
  public static let schema = OpSchema("expand", operands: ["x"], traits: [.view])
  public let shape: [Int]

  public init(shape: [Int]) { self.shape = shape }

  public func infer(_ operands: [TensorType]) throws(OpError) -> [TensorType] {
    let x = operands[0]
    let lead = shape.count - x.rank
    try require(
      lead >= 0 && shape.enumerated().allSatisfy { k, n in n > 0 || n >= -1 && k >= lead }, "expand_c1",
      "\(shape) is no shape for \(x)")
    var dims: [Dim] = []
    for (k, n) in shape.enumerated() {
      if k < lead {
        dims.append(.known(n))
      } else if n < 1 || x.dims[k - lead] == .known(n) {
        dims.append(x.dims[k - lead])
      } else {
        try require(x.dims[k - lead].value ?? 1 == 1, "expand_c2", "\(x) does not expand to \(shape)")
        dims.append(.known(n))
      }
    }
    return [TensorType(x.dtype, dims)]
  }

  public func evaluate(_ operands: [Tensor]) throws -> [Tensor] {
    let x = operands[0]
    let shape = try infer([x.type])[0].shape!
    return [try x.picking(x.broadcastIndices(to: shape), shape: shape)]
  }
}
