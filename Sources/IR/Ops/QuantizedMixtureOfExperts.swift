public import Tensors

/// ``MixtureOfExperts`` with quantized matrices: gates and ups of one scheme, downs of another or the same.
///
/// The input of each matrix is quantized as the scheme says, rows by themselves. An expert's operands are those of its
/// gate, its up and its down, each as ``QuantizedScheme/operands`` lists them.
///
/// - C1: x and weights are floating point, indices whole numbers.
/// - C2: x has a last dimension H, and weights and indices have its other dimensions and one more, the same for both.
/// - C3: no scheme is static, and there are as many operands as experts have.
/// - C4: the operands of a matrix go together; gate and up are [F,H] and down is [H,F], F the same for all experts.
public struct QuantizedMixtureOfExperts: Op {
  public static let schema = OpSchema(
    "quantized_mixture_of_experts", operands: ["x", "weights", "indices", "experts"], isVariadic: true)
  public static let defaults: Attributes = ["activation": .string("silu"), "arithmetic": .string("a2")]
  public let activation: Activation
  public let inner: QuantizedScheme
  public let outer: QuantizedScheme
  public let arithmetic: QuantizedArithmetic

  enum CodingKeys: String, CodingKey {
    case activation, arithmetic
    case inner = "gate_up"
    case outer = "down"
  }

  public init(
    activation: Activation, inner: QuantizedScheme, outer: QuantizedScheme, arithmetic: QuantizedArithmetic
  ) {
    self.activation = activation
    self.inner = inner
    self.outer = outer
    self.arithmetic = arithmetic
  }

  /// The operands of a matrix of an expert: 0 the gate, 1 the up, 2 the down.
  package func operands(_ expert: Int, _ matrix: Int) -> Range<Int> {
    let (own, last) = (inner.operands.count, outer.operands.count)
    let start = MixtureOfExperts.firstExpert + expert * (2 * own + last) + matrix * own
    return start..<start + (matrix == 2 ? last : own)
  }

  package func expertCount(_ operandCount: Int) -> Int {
    (operandCount - MixtureOfExperts.firstExpert) / (2 * inner.operands.count + outer.operands.count)
  }

  public func infer(_ operands: [TensorType]) throws(OpError) -> [TensorType] {
    let name = "quantized_mixture_of_experts"
    let (x, weights, indices) = (operands[0], operands[1], operands[2])
    try require(
      Ascend.computes(x.dtype) && weights.dtype.isFloat && indices.dtype.isInteger, "\(name)_c1",
      "the operands have the wrong types, \(operands.prefix(3))")
    guard let width = x.dims.last, weights.rank == x.rank, indices.rank == x.rank,
      zip(weights.dims, indices.dims).allSatisfy({ unify($0, $1) != nil }),
      zip(x.dims.dropLast(), weights.dims).allSatisfy({ unify($0, $1) != nil })
    else { throw OpError("\(name)_c2", "weights \(weights) and indices \(indices) do not go with \(x)") }
    let count = expertCount(operands.count)
    try require(
      !inner.isStatic && !outer.isStatic && self.operands(count, 0).lowerBound == operands.count, "\(name)_c3",
      "\(operands.count) operands are not those of experts of \(inner.rawValue) and \(outer.rawValue)")
    var size: Dim?
    for k in 0..<3 * count {
      let range = self.operands(k / 3, k % 3)
      let op = QuantizedWeight(k % 3 == 2 ? outer : inner, checkpoint: .float32)
      guard let matrix = try? op.infer(Array(operands[range]))[0],
        unify(matrix.dims[k % 3 == 2 ? 0 : 1], width) != nil,
        matrix.dims[k % 3 == 2 ? 1 : 0] == size ?? matrix.dims[0]
      else { throw OpError("\(name)_c4", "matrix \(k % 3) of expert \(k / 3) does not go with \(x)") }
      size = size ?? matrix.dims[0]
    }
    return [x]
  }

  public func cost(_ operands: [TensorType], _ results: [TensorType]) -> OpCost {
    let (x, weights) = (operands[0], operands[1])
    let (choices, count) = (weights.elementCount, Double(expertCount(operands.count)))
    let experts = Array(operands[MixtureOfExperts.firstExpert...])
    guard let gate = experts.first, count > 0 else { return OpCost() }
    return OpCost(
      operations: choices * 6 * gate.elementCount,
      bytes: min(choices, count) / count * experts.byteCount + x.byteCount + weights.byteCount + results.byteCount)
  }

  public func evaluate(_ operands: [Tensor]) throws -> [Tensor] {
    let (x, weights, indices) = (operands[0], operands[1], operands[2])
    let (width, chosen) = (x.shape[x.rank - 1], weights.shape[weights.rank - 1])
    let (shares, numbers, count) = (weights.doubles, indices.integers, expertCount(operands.count))
    var result = [Double](repeating: 0, count: x.elementCount)
    for place in numbers.indices {
      guard numbers[place] >= 0, numbers[place] < count else {
        throw OpError("quantized_mixture_of_experts_value", "index \(numbers[place]) names none of \(count) experts")
      }
      let row = place / chosen
      func product(_ x: Tensor, _ matrix: Int) throws -> Tensor {
        let own = self.operands(Int(numbers[place]), matrix)
        return try (matrix == 2 ? outer : inner).product(
          x, x.type, Array(operands[own]), bias: nil, arithmetic: arithmetic, checkpoint: .float32
        ) { try $0.evaluate($1) }
      }
      let input = try x.reshaped([x.elementCount / width, width]).picking([row], length: width, shape: [1, width])
        .cast(to: .float32)
      let gate = try product(input, 0).doubles.map { activation($0) }
      let hidden = zip(gate, try product(input, 1).doubles).map { $0 * $1 }
      let y = try product(Tensor(.float32, shape: [1, hidden.count], doubles: hidden), 2).doubles
      for k in 0..<width { result[row * width + k] += shares[place] * y[k] }
    }
    return [try Tensor(x.dtype, shape: x.shape, doubles: result)]
  }
}
