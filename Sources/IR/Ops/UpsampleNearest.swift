public import Tensors

/// An image with every pixel repeated: `y[n,c,i,j] = x[n, c, i / factor, j / factor]`.
///
/// - C1: x has four dimensions.
/// - C2: factor is from 1 to 64.
public struct UpsampleNearest: Op {
  public static let schema = OpSchema("upsample_nearest", operands: ["x"], traits: [.copy])
  public let factor: Int

  public init(factor: Int) { self.factor = factor }

  public func infer(_ operands: [TensorType]) throws(OpError) -> [TensorType] {
    let x = operands[0]
    try require(x.rank == 4, "upsample_nearest_c1", "\(x) is not an image")
    try require((1...64).contains(factor), "upsample_nearest_c2", "factor is \(factor)")
    var result = x
    for axis in 2..<4 {
      guard let dim = product([x.dims[axis], .known(factor)])?.dim, dim.isWithinLimits else {
        throw OpError("upsample_nearest_limit", "\(x.dims[axis]) times \(factor) is too large")
      }
      result.dims[axis] = dim
    }
    return [result]
  }

  public func evaluate(_ operands: [Tensor]) throws -> [Tensor] {
    let x = operands[0]
    let (height, width) = (x.shape[2], x.shape[3])
    var elements: [Int] = []
    for plane in 0..<x.shape[0] * x.shape[1] {
      for i in 0..<height * factor {
        let row = (plane * height + i / factor) * width
        elements.append(contentsOf: (0..<width * factor).map { row + $0 / factor })
      }
    }
    return [try x.picking(elements, shape: [x.shape[0], x.shape[1], height * factor, width * factor])]
  }
}
