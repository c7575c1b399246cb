import IR
import TestSupport
import Tensors

@testable import Runtime

/// An operator with operands for the comparison of its kernel with its plain meaning.
struct KernelCase {
  enum Operand {
    /// Floats of the activations' type, of [-scale, scale] or, when positive, of [0.1, scale].
    case float([Int], scale: Double = 2, positive: Bool = false)
    case weight([Int], DType)
    /// A weight of random codes that are finite numbers; powers of two are near 1, and 32-bit numbers of four digits.
    case codes([Int], DType)
    case bool([Int])
    /// Whole numbers from 0.
    case index([Int], below: Int)

    var shape: [Int] {
      switch self {
      case .float(let shape, _, _), .weight(let shape, _), .codes(let shape, _), .bool(let shape), .index(let shape, _):
        shape
      }
    }
  }

  let op: any Op
  let operands: [Operand]
  /// How far f32 results may be apart, as a part of the largest.
  var tolerance = 2e-5

  init(_ op: any Op, _ operands: Operand..., tolerance: Double = 2e-5) {
    self.op = op
    self.operands = operands
    self.tolerance = tolerance
  }

  private static let shapes = [[], [1], [7], [3, 5], [2, 1, 6], [1, 4, 1, 3], [2, 3, 0], [2, 3, 2, 5, 2]]

  private static var unary: [KernelCase] {
    let anySign: [any Op] = [
      Absolute(), Cos(), Erf(), Exp(), Negate(), Relu(), Sigmoid(), Silu(), Sin(), Tanh(), Gelu(),
      Gelu(approximation: .tanh),
      Ascend.GeluV2(approximate: .none), Ascend.GeluV2(approximate: .tanh),
    ]
    let positive: [any Op] = [Log(), Reciprocal(), Rsqrt(), Sqrt()]
    return shapes.flatMap { shape in
      anySign.map { KernelCase($0, .float(shape)) } + positive.map { KernelCase($0, .float(shape, positive: true)) }
    }
  }

  private static var binary: [KernelCase] {
    let pairs: [([Int], [Int])] = [
      ([], []), ([5], []), ([3, 5], [5]), ([3, 1], [1, 5]), ([2, 3, 4], [3, 1]), ([1], [2, 0]),
      ([2, 1, 3, 1, 2], [4, 1, 5, 1]),
      ([1, 2, 1, 2, 1, 2, 1, 2], [2, 1, 2, 1, 2, 1, 2, 1]), ([1, 2, 1, 2, 1, 2, 1, 2, 1], [2]),
    ]
    let ops: [any Op] = [Add(), Maximum(), Minimum(), Multiply(), Subtract()]
    return pairs.flatMap { a, b in
      ops.map { KernelCase($0, .float(a), .float(b)) }
        + [
          KernelCase(Divide(), .float(a), .float(b, positive: true)),
          KernelCase(Power(), .float(a, positive: true), .float(b)),
        ]
    }
  }

  private static var rows: [KernelCase] {
    [[1], [6], [3, 5], [2, 3, 8], [2, 1, 3, 17], [0, 4], [2, 3, 1]].flatMap { shape -> [KernelCase] in
      let vector = Operand.weight([shape[shape.count - 1]], .float32)
      let narrow = Operand.weight([shape[shape.count - 1]], .bfloat16)
      let computed = Operand.float([shape[shape.count - 1]])
      return [
        KernelCase(RMSNorm(epsilon: 1e-5), .float(shape), vector),
        KernelCase(RMSNorm(epsilon: 1e-5), .float(shape), narrow),
        KernelCase(RMSNorm(epsilon: 1e-5), .float(shape), computed),
        KernelCase(LayerNorm(epsilon: 1e-5), .float(shape)),
        KernelCase(LayerNorm(epsilon: 1e-5), .float(shape), vector),
        KernelCase(LayerNorm(epsilon: 1e-5), .float(shape), vector, narrow),
        KernelCase(LayerNorm(axis: shape.count - 1, epsilon: 1e-5), .float(shape), vector, vector),
        KernelCase(Softmax(axis: -1), .float(shape, scale: 8)), KernelCase(Softmax(axis: 0), .float(shape)),
        KernelCase(ReduceMean(axes: [-1]), .float(shape)), KernelCase(ReduceMean(axes: [0]), .float(shape)),
        KernelCase(ArgMax(axis: -1), .float(shape)), KernelCase(ArgMax(axis: 0, keepDims: false), .float(shape)),
        KernelCase(ArgMax(axis: shape.count - 1, keepDims: false), .float(shape)),
        KernelCase(ReduceMean(axes: [shape.count - 1], keepDims: false), .float(shape)),
      ]
    }
      + [[2, 6], [3, 2, 8], [2, 0]].flatMap { shape in
        [
          KernelCase(SwiGLU(), .float(shape)), KernelCase(Ascend.SwiGlu(dim: -1), .float(shape)),
          KernelCase(Ascend.SwiGlu(dim: 0), .float(shape)),
        ]
      }
      + [[3, 5], [2, 3, 8]].flatMap { shape -> [KernelCase] in
        // The weights of the target's norms have the type of the activations.
        let vector = Operand.float([shape[shape.count - 1]])
        return [
          KernelCase(Ascend.RmsNorm(epsilon: 1e-5), .float(shape), vector),
          KernelCase(Ascend.AddRmsNorm(epsilon: 1e-5), .float(shape), .float(shape), vector),
          KernelCase(Ascend.LayerNormV4(epsilon: 1e-5), .float(shape), vector, vector),
        ]
      }
  }

  private static var products: [KernelCase] {
    let pairs: [([Int], [Int])] = [
      ([3, 4], [4, 5]), ([1, 1], [1, 1]), ([2, 3, 4], [4, 5]), ([2, 3, 4], [2, 4, 5]), ([3, 4], [2, 4, 5]),
      ([2, 1, 3, 4], [3, 4, 5]),
      ([2, 3, 1, 4], [1, 3, 4, 2]), ([0, 4], [4, 5]), ([3, 0], [0, 5]), ([2, 3, 4], [4, 0]),
      ([2, 2, 33, 17], [2, 2, 17, 40]),
      ([2, 1, 2, 3, 4], [1, 3, 1, 4, 2]),
    ]
    let sizes: [([Int], Int, Int)] = [
      ([4], 4, 3), ([3, 8], 8, 17), ([2, 3, 5], 5, 1), ([2, 1, 3, 40], 40, 33), ([0, 4], 4, 3),
    ]
    return pairs.map { KernelCase(MatMul(), .float($0), .float($1)) }
      + [KernelCase(MatMul(), .float([3, 4]), .weight([4, 6], .float32))]
      + sizes.flatMap { x, k, n in
        [DType.float32, .bfloat16, .float16].flatMap { type in
          Activation.allCases.map {
            KernelCase(Linear(activation: $0), .float(x), .weight([n, k], type), .weight([n], type))
          }
            + [
              KernelCase(Linear(), .float(x), .weight([n, k], type)),
              KernelCase(Linear(), .float(x), .weight([n, k], type), .float([n])),
            ]
        }
      }
      + [KernelCase(Linear(), .float([3, 4]), .float([5, 4]))]
  }

  private static var attention: [KernelCase] {
    var cases: [KernelCase] = []
    for z in [
      [1, 1, 1, 1, 1, 1, 1], [2, 4, 2, 3, 5, 8, 8], [1, 4, 1, 7, 7, 4, 6], [2, 3, 3, 2, 140, 16, 16],
      [1, 2, 2, 0, 3, 4, 4],
    ] {
      let (b, h, g, s, t) = (z[0], z[1], z[2], z[3], z[4])
      let qkv: [Operand] = [.float([b, h, s, z[5]]), .float([b, g, t, z[5]]), .float([b, g, t, z[6]])]
      func add(_ op: any Op, _ mask: Operand?) {
        cases.append(KernelCase(op, operands: qkv + [mask].compactMap { $0 }))
      }
      let booleans: [Operand?] = [nil, .bool([b, 1, s, t]), .bool([s, t]), .bool([b, h, 1, t])]
      let floats: [Operand?] = [.float([b, 1, s, t]), .float([t])]
      for mask in booleans + floats {
        add(Attention(scale: 0.4), mask)
        add(Attention(scale: 0.4, causal: true), mask)
      }
      for mask in booleans {
        add(Ascend.FlashAttentionScore(headNum: h, scaleValue: 0.4), mask)
        add(Ascend.PromptFlashAttention(numHeads: h, numKeyValueHeads: g, scaleValue: 0.4), mask)
      }
      for mode in [2, 3] {
        add(Ascend.FlashAttentionScore(headNum: h, scaleValue: 0.4, sparseMode: mode), nil)
        add(Ascend.PromptFlashAttention(numHeads: h, numKeyValueHeads: g, scaleValue: 0.4, sparseMode: mode), nil)
      }
    }
    return cases
  }

  private static var rotary: [KernelCase] {
    var cases: [KernelCase] = []
    for x in [[2, 3, 4, 8], [1, 1, 1, 2], [2, 2, 0, 4]] {
      for shape in [[x[0], 1, x[2], x[3]], [1, 1, x[2], x[3]], [1, 1, 1, x[3]], x] {
        let table = Operand.float(shape)
        let part = Operand.float(shape.dropLast() + [2])
        for interleaved in [false, true] {
          cases.append(KernelCase(RotaryEmbedding(interleaved: interleaved), .float(x), table, table))
          cases.append(KernelCase(RotaryEmbedding(interleaved: interleaved), .float(x), part, part))
          cases.append(
            KernelCase(Ascend.RotaryMul(rotaryMode: interleaved ? .interleave : .half), .float(x), table, table))
        }
      }
    }
    return cases
  }

  private static var layout: [KernelCase] {
    [
      KernelCase(Reshape(shape: [6, -1]), .float([2, 3, 4])),
      KernelCase(Reshape(shape: [0, 2, 2, -1]), .float([3, 4, 2])),
      KernelCase(Reshape(shape: [1, 0]), .float([1, 4])), KernelCase(Reshape(shape: [2, 1, 3, 1]), .bool([6])),
      KernelCase(Squeeze(axis: 1), .float([2, 1, 3])), KernelCase(Unsqueeze(axis: 0), .float([2, 3])),
      KernelCase(Unsqueeze(axis: -1), .index([2, 3], below: 9)),
      KernelCase(Transpose(permutation: [2, 0, 1]), .float([2, 3, 4])),
      KernelCase(Transpose(permutation: [1, 0]), .bool([2, 3])), KernelCase(Expand(shape: [2, 3]), .float([1, 3])),
      KernelCase(Expand(shape: [4, 2, 3]), .float([2, 1])), KernelCase(Slice(axis: 1, start: 1), .float([2, 5])),
      KernelCase(Slice(axis: -1, start: -3, end: -1), .float([2, 5])),
      KernelCase(Slice(axis: 0, start: 1, end: 9, step: 2), .float([4, 3])),
      KernelCase(Slice(axis: 0, start: 3, end: .min, step: -2), .float([4, 3])),
      KernelCase(Slice(axis: 0, start: 7), .float([4, 3])),
      KernelCase(Split(axis: 1, sizes: [1, 3, 1]), .float([2, 5])),
      KernelCase(Split(axis: -1, sizes: [0, 4]), .float([2, 4])),
      KernelCase(Concat(axis: 1), .float([2, 3]), .float([2, 1])),
      KernelCase(Concat(axis: -2), .float([2, 3]), .float([0, 3]), .float([1, 3])),
      KernelCase(Concat(axis: 0), .index([2], below: 5), .index([3], below: 5)),
      KernelCase(Transpose(permutation: [8, 7, 6, 5, 4, 3, 2, 1, 0]), .float([2, 1, 2, 2, 2, 1, 2, 2, 2])),
      KernelCase(Transpose(permutation: [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]), .float([2, 2, 2, 2, 2, 2, 2, 2, 2, 2])),
      KernelCase(Gather(axis: 0), .weight([5, 3], .float32), .index([2, 4], below: 5)),
      KernelCase(Gather(axis: 0), .weight([5, 3], .bfloat16), .index([], below: 5)),
      KernelCase(Gather(axis: -1), .float([2, 5]), .index([3], below: 5)),
      KernelCase(Gather(axis: 0), .float([5, 2, 3]), .index([0], below: 5)),
      KernelCase(Gather(axis: -2), .float([5, 2]), .index([3], below: 5)),
    ]
      + [DType.float32, .bfloat16, .float16, .float64, .int64].map {
        KernelCase(Cast(to: $0), .float([3, 4], scale: 9))
      }
      + [DType.float32, .bfloat16, .int32].map { KernelCase(Cast(to: $0), .index([3, 4], below: 1000)) }
      + [KernelCase(Cast(to: .float32), .bool([3]))]
  }

  static let all: [KernelCase] =
    unary + binary + rows + products + experts + attention + rotary + layout + images + routing + quantized

  init(_ op: any Op, operands: [Operand]) {
    self.op = op
    self.operands = operands
  }
}
