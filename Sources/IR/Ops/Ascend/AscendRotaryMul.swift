public import Tensors

extension Ascend {
  /// Turns pairs of elements of the last dimension: `y = x * cos + rotate(x) * sin`, where rotate makes `(-x2, x1)` of
  /// the halves or `(-x[2i+1], x[2i])` of each pair.
  ///
  /// - C1: x, cos and sin have the same type: float16, bfloat16 or float32.
  /// - C2: cos and sin have the same shape and as many dimensions as x; all but the last broadcast to those of x.
  /// - C3: the last dimension is the same in x, cos and sin, a known even number.
  public struct RotaryMul: Op {
    public enum RotaryMode: String, Sendable, Codable {
      case half
      case interleave
    }

    private enum CodingKeys: String, CodingKey {
      case rotaryMode = "rotary_mode"
    }

    public static let schema = OpSchema(
      "ascend.RotaryMul", operands: ["x", "cos", "sin"], foreign: [.ascend("RotaryMul")])
    public static let defaults: Attributes = ["rotary_mode": .string("half")]
    public let rotaryMode: RotaryMode

    public init(rotaryMode: RotaryMode = .half) { self.rotaryMode = rotaryMode }

    public func infer(_ operands: [TensorType]) throws(OpError) -> [TensorType] {
      let (x, cos, sin) = (operands[0], operands[1], operands[2])
      try require(
        Ascend.computes(x.dtype) && cos.dtype == x.dtype && sin.dtype == x.dtype, "ascend.RotaryMul_c1",
        "operands have the wrong types, \(operands)")
      try require(
        cos.dims == sin.dims && cos.rank == x.rank && x.rank > 0
          && broadcasts(cos.dims.dropLast(), to: x.dims.dropLast()), "ascend.RotaryMul_c2",
        "tables \(cos) and \(sin) do not go with \(x)")
      guard case .known(let n) = x.dims[x.rank - 1], n % 2 == 0, cos.dims[x.rank - 1] == x.dims[x.rank - 1] else {
        throw OpError("ascend.RotaryMul_c3", "the last dimension of \(cos) does not go with \(x)")
      }
      return [x]
    }

    public func evaluate(_ operands: [Tensor]) throws -> [Tensor] {
      [try rotated(operands[0], cos: operands[1], sin: operands[2], interleaved: rotaryMode == .interleave)]
    }
  }
}
