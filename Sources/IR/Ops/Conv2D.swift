public import Tensors

/// The sum of an image's windows weighted by a filter for each output channel:
/// `y[n,o,i,j] = bias[o] + sum x[n, c, i*s+r*d-top, j*s+q*d-left] * weight[o,c,r,q]` for x [N,C,H,W] and weight
/// [O,C/groups,R,Q], where x is zero outside. Output channels of a group see the input channels of that group. Rounded
/// once.
///
/// - C1: all operands are floating point; their types may differ.
/// - C2: x has four dimensions, weight four known ones above zero.
/// - C3: groups divides O, and C is groups times the channels of a filter.
/// - C4: bias is a vector of O numbers.
/// - C5: strides and dilations are two numbers above zero each, pads (top, left, bottom, right) four that are not
///   negative; none is above 2^20.
/// - C6: the filter fits into the padded image; what a stride leaves of a symbolic dimension must follow.
public struct Conv2D: Op {
  public static let schema = OpSchema(
    "conv2d", operands: ["x", "weight"], optional: ["bias"],
    foreign: [.onnx("Conv", since: 11), .mindIR("Conv2D"), .ascend("Conv2D")])
  public static let defaults: Attributes = [
    "strides": .ints([1, 1]), "pads": .ints([0, 0, 0, 0]), "dilations": .ints([1, 1]), "groups": .int(1),
  ]
  /// Rows and columns from one window to the next.
  public let strides: [Int]
  /// Zeros around the image: top, left, bottom, right.
  public let pads: [Int]
  /// Rows and columns between neighbours in a window.
  public let dilations: [Int]
  public let groups: Int

  public init(
    strides: [Int] = [1, 1], pads: [Int] = [0, 0, 0, 0], dilations: [Int] = [1, 1], groups: Int = 1
  ) {
    self.strides = strides
    self.pads = pads
    self.dilations = dilations
    self.groups = groups
  }

  public func infer(_ operands: [TensorType]) throws(OpError) -> [TensorType] {
    let (x, weight) = (operands[0], operands[1])
    try require(operands.allSatisfy(\.dtype.isFloat), "conv2d_c1", "operands must be floating point, got \(operands)")
    guard x.rank == 4, let filter = weight.shape, filter.count == 4, filter.allSatisfy({ $0 > 0 }) else {
      throw OpError("conv2d_c2", "x \(x) and weight \(weight) are not an image and filters")
    }
    try require(
      groups > 0 && filter[0] % groups == 0 && groups <= filter[0]
        && unify(x.dims[1], .known(filter[1] * groups)) != nil, "conv2d_c3",
      "filters \(weight) in \(groups) groups do not go with x \(x)")
    try require(
      operands.count < 3 || operands[2].isVector(of: weight.dims[0]), "conv2d_c4",
      "bias \(operands.last!) does not go with weight \(weight)")
    let limits = 0...1 << 20
    try require(
      strides.count == 2 && dilations.count == 2 && pads.count == 4
        && (strides + dilations + pads).allSatisfy(limits.contains) && (strides + dilations).allSatisfy { $0 > 0 },
      "conv2d_c5", "strides \(strides), dilations \(dilations) and pads \(pads) cannot be")
    var dims: [Dim] = [x.dims[0], weight.dims[0]]
    for k in 0..<2 {
      let window = dilations[k] * (filter[2 + k] - 1) + 1
      guard let count = steps(of: x.dims[2 + k], growing: pads[k] + pads[k + 2] - window, by: strides[k]) else {
        throw OpError("conv2d_c6", "what filters \(weight) of stride \(strides[k]) leave of \(x) does not follow")
      }
      dims.append(count)
    }
    return [TensorType(x.dtype, dims)]
  }

  public func cost(_ operands: [TensorType], _ results: [TensorType]) -> OpCost {
    let weight = operands[1]
    return OpCost(
      operations: 2 * results[0].elementCount * weight.elementCount / max(weight.last(3), 1),
      bytes: operands.byteCount + results.byteCount)
  }

  public func evaluate(_ operands: [Tensor]) throws -> [Tensor] {
    let (x, weight) = (operands[0], operands[1])
    let shape = try infer(operands.map(\.type))[0].shape!
    let (height, width, depth) = (x.shape[2], x.shape[3], weight.shape[1])
    let (rows, columns, outputs) = (weight.shape[2], weight.shape[3], shape[1] / groups)
    let (values, filters) = (x.doubles, weight.doubles)
    let bias = operands.count > 2 ? operands[2].doubles : [Double](repeating: 0, count: shape[1])
    var result: [Double] = []
    result.reserveCapacity(shape.reduce(1, *))
    for n in 0..<shape[0] {
      for o in 0..<shape[1] {
        for i in 0..<shape[2] {
          for j in 0..<shape[3] {
            var sum = bias[o]
            for c in 0..<depth {
              let plane = (n * x.shape[1] + o / outputs * depth + c) * height
              for r in 0..<rows {
                let y = i * strides[0] + r * dilations[0] - pads[0]
                guard y >= 0, y < height else { continue }
                for q in 0..<columns {
                  let z = j * strides[1] + q * dilations[1] - pads[1]
                  guard z >= 0, z < width else { continue }
                  sum += values[(plane + y) * width + z] * filters[((o * depth + c) * rows + r) * columns + q]
                }
              }
            }
            result.append(sum)
          }
        }
      }
    }
    return [try Tensor(x.dtype, shape: shape, doubles: result)]
  }
}
