public import Tensors

extension Ascend {
  /// The product of quantized inputs and a quantized weight, `x1 * transpose(x2)`, with the scales of both.
  ///
  /// Whole numbers: `(sum + bias) * scale * pertoken_scale`, the sum exact in 32 bits, and then float32, each product
  /// rounded; where a row of scale has several elements, each goes with as many neighbouring columns, and the products
  /// of their sums are added in order. A bias in float32 is added at the end instead. Float8 and float4 without block
  /// scales: the same with a sum in float32. With block scales: the sum over `x1 * pertoken_scale * x2 * scale`, plus
  /// the bias. The result is rounded to dtype.
  ///
  /// - C1: x1 and x2 are int8 and int8 or int4, or both float8 e4m3 or float4 e2m1, which only block scales go with.
  /// - C2: x2 is a matrix [N,K], or of int4 [N/2,K,2]: pairs of rows side by side; the last dimension of x1 is K.
  /// - C3: scale is float32 [N,G] where G divides K, or float8 e8m0 [N,ceil(K/32)]; with floats G is 1.
  /// - C4: pertoken_scale has one float32 element, or one for each row of x1, [..,1]; with block scales it is float8
  ///   e8m0 [..,ceil(K/32)].
  /// - C5: bias is a vector [N] of float32, or with whole numbers and G = 1 of int32.
  /// - C6: dtype is float16, bfloat16 or float32.
  public struct QuantBatchMatmulV3: Op {
    public static let schema = OpSchema(
      "ascend.QuantBatchMatmulV3", operands: ["x1", "x2", "scale", "pertoken_scale"], optional: ["bias"],
      foreign: [.ascend("QuantBatchMatmulV3")])
    public static let defaults: Attributes = ["dtype": .string("f32"), "short_scale": .bool(false)]
    public let dtype: DType
    /// Whether only the 19 upper bits of scale count, as where the product leaves the matrix unit.
    public let shortScale: Bool

    enum CodingKeys: String, CodingKey {
      case dtype
      case shortScale = "short_scale"
    }

    public init(dtype: DType = .float32, shortScale: Bool = false) {
      self.dtype = dtype
      self.shortScale = shortScale
    }

    public func infer(_ operands: [TensorType]) throws(OpError) -> [TensorType] {
      let name = "ascend.QuantBatchMatmulV3"
      let (x1, x2, scale, token) = (operands[0], operands[1], operands[2], operands[3])
      let isBlocked = scale.dtype == .float8e8m0
      let small: Set<DType> = isBlocked ? [.float8e4m3fn, .float4e2m1] : [.float8e4m3fn]
      try require(
        x1.dtype == .int8 && !isBlocked && (x2.dtype == .int8 || x2.dtype == .int4 && x2.rank == 3)
          || small.contains(x1.dtype) && small.contains(x2.dtype),
        "\(name)_c1", "\(x1) and \(x2) with scale \(scale) are not multiplied")
      guard let (rows, columns) = QuantizedRows.size(x2), let last = x1.dims.last, unify(last, .known(columns)) != nil
      else { throw OpError("\(name)_c2", "\(x1) does not go with weight \(x2)") }
      guard scale.rank == 2, scale.dims[0] == .known(rows), let groups = scale.dims[1].value,
        isBlocked ? groups == (columns + 31) / 32 : scale.dtype == .float32 && groups > 0 && columns % groups == 0,
        isBlocked || x1.dtype == .int8 || groups == 1
      else { throw OpError("\(name)_c3", "scale \(scale) does not go with weight \(x2)") }
      let perRow = TensorType(isBlocked ? .float8e8m0 : .float32, x1.dims.dropLast() + [isBlocked ? .known(groups) : 1])
      try require(
        token == perRow || !isBlocked && token.dtype == .float32 && token.dims.allSatisfy { $0 == .known(1) },
        "\(name)_c4", "pertoken_scale \(token) does not go with \(x1)")
      if operands.count > 4 {
        let bias = operands[4]
        try require(
          bias.isVector(of: .known(rows))
            && (bias.dtype == .float32 || bias.dtype == .int32 && x1.dtype == .int8 && groups == 1),
          "\(name)_c5", "bias \(bias) does not go with weight \(x2)")
      }
      try require(Ascend.computes(dtype), "\(name)_c6", "the result cannot be \(dtype)")
      return [TensorType(dtype, x1.dims.dropLast() + [.known(rows)])]
    }

    public func cost(_ operands: [TensorType], _ results: [TensorType]) -> OpCost {
      OpCost(
        operations: 2 * results[0].elementCount * operands[0].last(0), bytes: operands.byteCount + results.byteCount)
    }

    public func evaluate(_ operands: [Tensor]) throws -> [Tensor] {
      let x1 = operands[0]
      let weight = QuantizedRows(operands[1])
      let (rows, n, k) = (x1.shape.dropLast().reduce(1, *), weight.rows, weight.columns)
      let x = x1.doubles
      let scale = operands[2].doubles.map { shortScale ? Double(Float($0).short) : $0 }
      let (token, groups) = (operands[3].doubles, operands[2].shape[1])
      let bias = operands.count > 4 ? operands[4].doubles : nil
      let isBlocked = operands[2].dtype == .float8e8m0
      var result: [Double] = []
      result.reserveCapacity(rows * n)
      for row in 0..<rows {
        for column in 0..<n {
          func sum(_ range: Range<Int>) -> Double {
            range.reduce(0) { $0 + x[row * k + $1] * weight.values[column * k + $1] }
          }
          if isBlocked {
            let total = (0..<groups).reduce(0.0) { total, g in
              total + sum(g * 32..<min(g * 32 + 32, k)) * scale[column * groups + g] * token[row * groups + g]
            }
            result.append(total + (bias?[column] ?? 0))
            continue
          }
          let whole = operands.count > 4 && operands[4].dtype == .int32 ? bias?[column] ?? 0 : 0
          var y = (0..<groups).reduce(Float(0)) { total, g in
            let part = Float(sum(g * k / groups..<(g + 1) * k / groups) + whole) * Float(scale[column * groups + g])
            return groups == 1 ? part : total + part
          }
          y *= Float(token[token.count == 1 ? 0 : row])
          if let bias, operands[4].dtype == .float32 { y += Float(bias[column]) }
          result.append(Double(y))
        }
      }
      return [try Tensor(dtype, shape: x1.shape.dropLast() + [n], doubles: result)]
    }
  }
}

/// The codes of a weight, row by row.
struct QuantizedRows {
  let rows: Int
  let columns: Int
  /// [rows, columns]
  let values: [Double]

  /// Rows and columns of a weight's type: a matrix, or of int4 also [rows/2, columns, 2].
  static func size(_ type: TensorType) -> (rows: Int, columns: Int)? {
    guard let shape = type.shape else { return nil }
    if type.dtype == .int4, shape.count == 3 {
      return shape[2] == 2 && shape[0] <= Int.max / 2 ? (2 * shape[0], shape[1]) : nil
    }
    return shape.count == 2 ? (shape[0], shape[1]) : nil
  }

  init(_ tensor: Tensor) {
    guard let size = QuantizedRows.size(tensor.type) else { preconditionFailure("refused by inference") }
    (rows, columns) = size
    let values = tensor.doubles
    guard tensor.rank == 3 else {
      self.values = values
      return
    }
    let columns = columns
    self.values = (0..<rows).flatMap { row in
      (0..<columns).map { values[(row / 2 * columns + $0) * 2 + row % 2] }
    }
  }
}

extension Float {
  /// The number with the lower 13 bits of its fraction cut off.
  var short: Float { Float(bitPattern: bitPattern & 0xFFFF_E000) }
}
