import IR
import Tensors

extension KernelCase {
  /// What chooses experts.
  static var routing: [KernelCase] {
    [[1], [7], [3, 5], [2, 1, 64], [2, 3, 0, 4], [40, 9]].flatMap { shape in
      let width = shape[shape.count - 1]
      let chosen = Array(shape.dropLast()) + [3]
      return [
        KernelCase(TopK(k: 1), .float(shape)), KernelCase(TopK(k: min(width, 4)), .float(shape)),
        KernelCase(TopK(k: width), .float(shape)),
        KernelCase(GatherElements(axis: -1), .float(shape), .index(chosen, below: width)),
        KernelCase(GatherElements(axis: 0), .float(shape), .index(shape, below: max(shape[0], 1))),
        KernelCase(ReduceSum(axes: [-1]), .float(shape)), KernelCase(ReduceMax(axes: [-1]), .float(shape)),
        KernelCase(ReduceSum(axes: [0], keepDims: false), .float(shape)),
        KernelCase(ReduceMax(axes: [shape.count - 1], keepDims: false), .float(shape)),
      ]
    }
  }

  /// Rows to experts, with experts that get none, one, several or more than there are rows.
  static var experts: [KernelCase] {
    let sizes: [(rows: [Int], chosen: Int, count: Int, width: Int, inner: Int)] = [
      ([], 2, 3, 4, 2), ([1], 1, 1, 1, 1), ([2, 3], 2, 4, 8, 6), ([40], 3, 2, 5, 17), ([2, 1, 3], 0, 2, 4, 3),
      ([0], 2, 2, 4, 3),
    ]
    return sizes.flatMap { z in
      [DType.float32, .bfloat16, .float16].flatMap { type in
        [Activation.silu, .gelu].map { activation in
          let matrices = [
            Operand.weight([z.inner, z.width], type), .weight([z.inner, z.width], type),
            .weight([z.width, z.inner], type),
          ]
          return KernelCase(
            MixtureOfExperts(activation: activation),
            operands: [
              .float(z.rows + [z.width]), .float(z.rows + [z.chosen]), .index(z.rows + [z.chosen], below: z.count),
            ]
              + (0..<z.count).flatMap { _ in matrices })
        }
      }
    }
      + [
        KernelCase(
          MixtureOfExperts(), .float([2, 4]), .float([2, 1]), .index([2, 1], below: 1), .float([3, 4]), .float([3, 4]),
          .float([4, 3]))
      ]
  }
}
