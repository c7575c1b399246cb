public import Tensors

/// x with another element type. To a float, rounds once, ties to even; from a float to a whole number, truncates,
/// saturates and makes zero of NaN; between whole numbers, wraps around. Booleans are 0 and 1, and `x != 0`.
///
/// - C1: neither type is complex, unless they are the same.
public struct Cast: Op {
  public static let schema = OpSchema(
    "cast", operands: ["x"], traits: [.elementwise, .copy],
    foreign: [.onnx("Cast", since: 13), .mindIR("Cast"), .ascend("Cast")])
  public let to: DType

  public init(to dtype: DType) { to = dtype }

  public func infer(_ operands: [TensorType]) throws(OpError) -> [TensorType] {
    let x = operands[0]
    try require(x.dtype == to || !x.dtype.isComplex && !to.isComplex, "cast_c1", "\(x) does not become \(to)")
    return [TensorType(to, x.dims)]
  }

  public func evaluate(_ operands: [Tensor]) throws -> [Tensor] {
    let x = operands[0]
    if x.dtype == to { return [x] }
    if x.dtype.isFloat {
      if to == .uint64 {
        let values = x.doubles.map { value in
          value > 0 ? UInt64(exactly: value.rounded(.towardZero)) ?? .max : 0
        }
        return [try Tensor(to, shape: x.shape, wrapping: values.map { Int64(bitPattern: $0) })]
      }
      return [try Tensor(to, shape: x.shape, doubles: x.doubles)]
    }
    let values = x.integers
    if to.isInteger { return [try Tensor(to, shape: x.shape, wrapping: values)] }
    if to == .bool { return [try Tensor(to, shape: x.shape, bytes: Bytes(values.map { $0 == 0 ? 0 : 1 }))] }
    if to == .float64 { return [try Tensor(to, shape: x.shape, doubles: x.doubles)] }
    let doubles = values.map { value in
      let magnitude = x.dtype == .uint64 ? UInt64(bitPattern: value) : value.magnitude
      return x.dtype != .uint64 && value < 0 ? -Cast.sticky(magnitude) : Cast.sticky(magnitude)
    }
    return [try Tensor(to, shape: x.shape, doubles: doubles)]
  }

  /// A double that rounds to any narrower type as `value` does: exact, or with a last bit that says that bits were
  /// lost.
  private static func sticky(_ value: UInt64) -> Double {
    guard value >> 53 != 0 else { return Double(value) }
    return Double(value >> 11 | (value & 0x7FF == 0 ? 0 : 1)) * 2048
  }
}
