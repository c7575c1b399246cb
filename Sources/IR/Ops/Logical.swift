public import Tensors

/// Elementwise operators of two booleans, broadcasting as NumPy does.
///
/// - C1: both operands are bool.
/// - C2: the shapes broadcast.
public protocol Logical: Op {
  static func apply(_ a: Bool, _ b: Bool) -> Bool
}

extension Logical {
  public func infer(_ operands: [TensorType]) throws(OpError) -> [TensorType] {
    let (a, b) = (operands[0], operands[1])
    try require(
      a.dtype == .bool && b.dtype == .bool, "\(Self.name)_c1", "operands must be bool, got \(a) and \(b)")
    guard let dims = broadcast([a.dims, b.dims]) else {
      throw OpError("\(Self.name)_c2", "\(a) and \(b) do not broadcast")
    }
    return [TensorType(.bool, dims)]
  }

  public func evaluate(_ operands: [Tensor]) throws -> [Tensor] {
    let (a, b) = (operands[0], operands[1])
    let shape = try infer([a.type, b.type])[0].shape!
    let (x, y) = (a.integers, b.integers)
    let values = zip(a.broadcastIndices(to: shape), b.broadcastIndices(to: shape)).map {
      Self.apply(x[$0] != 0, y[$1] != 0) ? UInt8(1) : 0
    }
    return [try Tensor(.bool, shape: shape, bytes: Bytes(values))]
  }
}
