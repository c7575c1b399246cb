public import Tensors

extension Ascend {
  /// Rows of x in blocks of 32 that share a power of two: `x = y * scale`.
  ///
  /// The exponent of a block is that of its largest magnitude less that of the largest number of dtype. Elements are
  /// rounded to even as float8 e4m3, away from zero as float4 e2m1, and saturate. A block of zeros has the least
  /// exponent; one with NaN or infinity has the scale NaN, and zeros.
  ///
  /// - C1: x is float16, bfloat16 or float32 and has a last dimension of known size.
  /// - C2: dtype is float8 e4m3, or float4 e2m1 where that size is even.
  public struct DynamicMxQuant: Op {
    public static let schema = OpSchema(
      "ascend.DynamicMxQuant", operands: ["x"], foreign: [.ascend("DynamicMxQuant")])
    public static let defaults: Attributes = ["dtype": .string("f8e4m3fn")]
    public let dtype: DType
    /// Elements that share a scale.
    static let block = 32

    public init(dtype: DType = .float8e4m3fn) { self.dtype = dtype }

    public func infer(_ operands: [TensorType]) throws(OpError) -> [TensorType] {
      let x = operands[0]
      guard Ascend.computes(x.dtype), let width = x.dims.last?.value else {
        throw OpError("ascend.DynamicMxQuant_c1", "x has the wrong type, \(x)")
      }
      try require(
        dtype == .float8e4m3fn || dtype == .float4e2m1 && width % 2 == 0, "ascend.DynamicMxQuant_c2",
        "\(x) is not quantized to \(dtype)")
      let blocks = (width + DynamicMxQuant.block - 1) / DynamicMxQuant.block
      return [TensorType(dtype, x.dims), TensorType(.float8e8m0, x.dims.dropLast() + [.known(blocks)])]
    }

    public func evaluate(_ operands: [Tensor]) throws -> [Tensor] {
      let (x, width) = (operands[0].floats, operands[0].shape[operands[0].rank - 1])
      let blocks = (width + DynamicMxQuant.block - 1) / DynamicMxQuant.block
      let rows = operands[0].shape.dropLast().reduce(1, *)
      var (codes, scales): ([Double], [Double]) = ([], [])
      codes.reserveCapacity(x.count)
      for row in 0..<rows {
        for block in 0..<blocks {
          let first = row * width + block * DynamicMxQuant.block
          let values = x[first..<min(first + DynamicMxQuant.block, (row + 1) * width)]
          let largest = values.largestMagnitude
          guard largest.isFinite else {
            scales.append(.nan)
            codes += values.map { _ in 0 }
            continue
          }
          let exponent = largest == 0 ? -127 : max(Int(largest.exponent) - (dtype == .float4e2m1 ? 2 : 8), -127)
          scales.append(Double(sign: .plus, exponent: exponent, significand: 1))
          codes += values.map { element(Double(sign: .plus, exponent: -exponent, significand: Double($0))) }
        }
      }
      let shape = operands[0].shape
      return [
        try Tensor(dtype, shape: shape, doubles: codes),
        try Tensor(.float8e8m0, shape: shape.dropLast() + [blocks], doubles: scales),
      ]
    }

    /// A number of dtype; the tensor rounds float8 to even.
    private func element(_ value: Double) -> Double {
      guard dtype == .float4e2m1 else { return min(max(value, -448), 448) }
      let magnitude = min(abs(value), 6)
      let step = magnitude < 2 ? 0.5 : magnitude < 4 ? 1 : 2.0
      let rounded = min((magnitude / step + 0.5).rounded(.down) * step, 6)
      return value < 0 ? -rounded : rounded
    }
  }
}
