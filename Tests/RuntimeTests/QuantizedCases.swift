import IR
import Tensors

extension KernelCase {
  /// Inputs that are quantized, and products with quantized weights.
  static var quantized: [KernelCase] {
    let shapes = [[5], [3, 40], [2, 3, 70], [2, 0, 4], [1, 129]]
    let limits: [(DType, Int)] = [(.int8, 127), (.int8, 7), (.float8e4m3fn, 448)]
    let inputs = shapes.flatMap { shape -> [KernelCase] in
      limits.flatMap { dtype, limit in
        [false, true].map { KernelCase(Ascend.DynamicQuant(dtype: dtype, limit: limit, divides: $0), .float(shape)) }
      }
        + [KernelCase(Ascend.DynamicMxQuant(), .float(shape))]
        + (shape[shape.count - 1] % 2 == 0
          ? [KernelCase(Ascend.DynamicMxQuant(dtype: .float4e2m1), .float(shape))] : [])
        + [KernelCase(Ascend.AscendQuantV2(), .float(shape), .weight([1], .float32), .weight([1], .float32))]
    }
    return inputs + products + quantizedExperts
  }

  private static var products: [KernelCase] {
    let sizes: [(x: [Int], n: Int, groups: Int)] = [
      ([4], 4, 1), ([3, 40], 34, 4), ([2, 3, 72], 6, 2), ([0, 4], 2, 1),
    ]
    return sizes.flatMap { x, n, groups -> [KernelCase] in
      let k = x[x.count - 1]
      let rows = Array(x.dropLast())
      let (codes, scale) = (Operand.codes(x, .int8), Operand.weight([n, groups], .float32))
      let blocks = (k + 31) / 32
      let (perRow, byBlock) = (Operand.weight(rows + [1], .float32), Operand.codes(rows + [blocks], .float8e8m0))
      let pairs = Operand.codes([n / 2, k, 2], .int4)
      let (e4m3, e2m1) = (Operand.codes(x, .float8e4m3fn), Operand.codes(x, .float4e2m1))
      let powers = Operand.codes([n, blocks], .float8e8m0)
      return [DType.float32, .bfloat16].flatMap { dtype -> [KernelCase] in
        let multiply = Ascend.QuantBatchMatmulV3(dtype: dtype)
        return [
          KernelCase(multiply, codes, .codes([n, k], .int8), scale, perRow),
          KernelCase(multiply, codes, pairs, scale, perRow, .weight([n], .float32)),
          KernelCase(
            Ascend.QuantBatchMatmulV3(dtype: dtype, shortScale: true), codes, .codes([n, k], .int8),
            .weight([n, 1], .float32), .weight([1], .float32), .codes([n], .int32)),
          KernelCase(multiply, e4m3, .codes([n, k], .float8e4m3fn), .weight([n, 1], .float32), perRow),
          KernelCase(multiply, e4m3, .codes([n, k], .float8e4m3fn), powers, byBlock),
          KernelCase(multiply, e4m3, .codes([n, k], .float4e2m1), powers, byBlock, .weight([n], .float32)),
          KernelCase(multiply, e2m1, .codes([n, k], .float4e2m1), powers, byBlock),
        ]
      }
        + [
          KernelCase(Ascend.WeightQuantBatchMatmulV2(), .float(x), .codes([n, k], .int8), scale, scale),
          KernelCase(Ascend.WeightQuantBatchMatmulV2(), .float(x), pairs, scale, scale),
          KernelCase(Ascend.WeightQuantBatchMatmulV2(), .float(x), .codes([n, k], .int4), scale, scale),
        ]
    }
  }

  private static var quantizedExperts: [KernelCase] {
    func matrix(_ scheme: QuantizedScheme, _ n: Int, _ k: Int) -> [Operand] {
      let codes = Operand.codes(scheme.codes == .int4 ? [n / 2, k, 2] : [n, k], scheme.codes)
      let scale: Operand =
        scheme.isBlocked ? .codes([n, (k + 31) / 32], .float8e8m0) : .weight([n, 1], .float32)
      return [codes, scale] + (scheme.keepsInputs ? [scale] : [])
    }
    return QuantizedScheme.allCases.filter { !$0.isStatic }.flatMap { scheme in
      QuantizedArithmetic.allCases.map { arithmetic in
        let op = QuantizedMixtureOfExperts(activation: .silu, inner: scheme, outer: scheme, arithmetic: arithmetic)
        let expert = matrix(scheme, 34, 8) + matrix(scheme, 34, 8) + matrix(scheme, 8, 34)
        return KernelCase(
          op,
          operands: [.float([2, 3, 8]), .float([2, 3, 2]), .index([2, 3, 2], below: 3)] + expert + expert + expert)
      }
    }
  }
}
