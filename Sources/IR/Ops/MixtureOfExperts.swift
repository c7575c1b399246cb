public import Tensors

/// For each row of x the weighted sum of what a few experts make of it:
/// `sum over j of weights[j] * expert[indices[j]](x)`.
///
/// An expert is a gated feed-forward, `down * (activation(gate * x) . (up * x))`; its three matrices are three
/// operands, and all experts' operands follow one another: gate, up and down of the first, then of the second. Operands
/// of experts to which no row goes are not read. All are widened, the sum is rounded once to x's type. An index outside
/// is an error.
///
/// - C1: all operands but indices are floating point, indices are whole numbers; types may differ.
/// - C2: x has a last dimension H, and weights and indices have its other dimensions and one more, the same for both.
/// - C3: there are three operands for each expert.
/// - C4: gate and up are matrices [F,H] and down is one [H,F], F the same for all experts.
public struct MixtureOfExperts: Op {
  public static let schema = OpSchema(
    "mixture_of_experts", operands: ["x", "weights", "indices", "experts"], isVariadic: true)
  public static let defaults: Attributes = ["activation": .string("silu")]
  public let activation: Activation

  public init(activation: Activation = .silu) { self.activation = activation }

  /// The operand at which the experts begin.
  package static let firstExpert = 3

  public func infer(_ operands: [TensorType]) throws(OpError) -> [TensorType] {
    let (x, weights, indices) = (operands[0], operands[1], operands[2])
    let experts = operands[MixtureOfExperts.firstExpert...]
    try require(
      x.dtype.isFloat && weights.dtype.isFloat && indices.dtype.isInteger && experts.allSatisfy(\.dtype.isFloat),
      "mixture_of_experts_c1", "operands must be floating point but indices, got \(operands.prefix(4))")
    guard let width = x.dims.last, weights.rank == x.rank, indices.rank == x.rank,
      zip(weights.dims, indices.dims).allSatisfy({ unify($0, $1) != nil }),
      zip(x.dims.dropLast(), weights.dims).allSatisfy({ unify($0, $1) != nil })
    else { throw OpError("mixture_of_experts_c2", "weights \(weights) and indices \(indices) do not go with \(x)") }
    try require(
      experts.count % 3 == 0, "mixture_of_experts_c3", "\(experts.count) matrices are not three for each expert")
    guard let inner = experts.first?.dims.first else {
      throw OpError("mixture_of_experts_c4", "the first gate is a scalar")
    }
    for (k, matrix) in experts.enumerated() {
      let expected = k % 3 == 2 ? [width, inner] : [inner, width]
      try require(
        matrix.rank == 2 && zip(matrix.dims, expected).allSatisfy { unify($0, $1) != nil }, "mixture_of_experts_c4",
        "matrix \(matrix) of expert \(k / 3) does not go with \(x) and \(experts[MixtureOfExperts.firstExpert])")
    }
    return [x]
  }

  public func cost(_ operands: [TensorType], _ results: [TensorType]) -> OpCost {
    // Three products for each expert that a row goes to; at most so many experts are read.
    let (x, weights) = (operands[0], operands[1])
    let experts = operands[MixtureOfExperts.firstExpert...]
    let (choices, count) = (weights.elementCount, Double(experts.count / 3))
    guard let gate = experts.first, count > 0 else { return OpCost() }
    let read = min(choices, count) / count * Array(experts).byteCount
    return OpCost(
      operations: choices * (6 * gate.elementCount + 2 * gate.last(1) + 2 * x.last(0)),
      bytes: read + x.byteCount + weights.byteCount + operands[2].byteCount + results.byteCount)
  }

  public func evaluate(_ operands: [Tensor]) throws -> [Tensor] {
    let (x, weights, indices) = (operands[0], operands[1], operands[2])
    let (width, chosen) = (x.shape[x.rank - 1], weights.shape[weights.rank - 1])
    let expertCount = (operands.count - MixtureOfExperts.firstExpert) / 3
    let (rows, shares, numbers) = (x.doubles, weights.doubles, indices.integers)
    var result = [Double](repeating: 0, count: rows.count)
    for place in numbers.indices {
      guard numbers[place] >= 0, numbers[place] < expertCount else {
        throw OpError("mixture_of_experts_value", "index \(numbers[place]) names none of \(expertCount) experts")
      }
      let row = place / chosen * width..<(place / chosen + 1) * width
      let first = MixtureOfExperts.firstExpert + 3 * Int(numbers[place])
      let gate = product(operands[first], rows[row])
      let up = product(operands[first + 1], rows[row])
      let inner = zip(gate, up).map { activation($0) * $1 }
      for (k, y) in zip(row, product(operands[first + 2], inner[...])) { result[k] += shares[place] * y }
    }
    return [try Tensor(x.dtype, shape: x.shape, doubles: result)]
  }

  /// A matrix [N,K] times a vector.
  private func product(_ matrix: Tensor, _ vector: ArraySlice<Double>) -> [Double] {
    let values = matrix.doubles
    return (0..<matrix.shape[0]).map { row in
      zip(values[row * vector.count..<(row + 1) * vector.count], vector).reduce(0) { $0 + $1.0 * $1.1 }
    }
  }
}
