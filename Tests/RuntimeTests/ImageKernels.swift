import IR
import TestSupport
import Tensors
import Testing

@testable import Runtime

extension KernelCase {
  static var images: [KernelCase] {
    let image = Operand.float([2, 3, 5, 4])
    func filters(_ outputs: Int, _ rows: Int, _ columns: Int, _ dtype: DType = .float32) -> Operand {
      .weight([outputs, 3, rows, columns], dtype)
    }
    let bias = Operand.weight([6], .bfloat16)
    var cases = [
      KernelCase(Conv2D(), image, filters(6, 1, 1)),
      KernelCase(Conv2D(), image, filters(6, 1, 1, .bfloat16), bias),
      KernelCase(Conv2D(pads: [1, 1, 1, 1]), image, filters(6, 3, 3), bias),
      KernelCase(Conv2D(pads: [1, 1, 1, 1]), image, filters(17, 3, 3, .float16)),
      KernelCase(Conv2D(strides: [2, 2], pads: [0, 0, 1, 1]), image, filters(6, 3, 3, .bfloat16), bias),
      KernelCase(Conv2D(strides: [1, 3], pads: [2, 0, 1, 1], dilations: [2, 1]), image, filters(1, 2, 3)),
      KernelCase(Conv2D(pads: [0, 1, 0, 1], groups: 3), image, .weight([6, 1, 2, 2], .float32)),
      KernelCase(Conv2D(), .float([0, 3, 2, 2]), filters(2, 1, 1)),
      KernelCase(Conv2D(), image, .float([2, 3, 2, 2])),
    ]
    for shape in [[2, 6, 3, 5], [1, 6, 1, 1], [1, 6, 40, 3], [0, 6, 2, 2], [2, 6, 5]] {
      let vector = Operand.weight([6], .float32)
      cases += [
        KernelCase(GroupNorm(groups: 2), .float(shape)), KernelCase(GroupNorm(groups: 6), .float(shape), vector),
        KernelCase(GroupNorm(groups: 3, epsilon: 1e-6), .float(shape), vector, bias),
      ]
    }
    for factor in 1...3 { cases.append(KernelCase(UpsampleNearest(factor: factor), image)) }
    return cases + [
      KernelCase(Unflatten(axis: 1, start: 0), .float([2, 6, 3]), .float([2, 3])),
      KernelCase(Unflatten(axis: -1, start: 1), .index([2, 6], below: 9), .bool([5, 3, 2])),
    ]
  }
}

extension KernelTests {
  /// What stands around a convolution and is taken into it, and what is not because it is read elsewhere, is of another
  /// size, or comes later.
  @Test(arguments: [
    "%8 = add(%7, %2) : f32[1,6,6,4]", "%8 = add(%2, %7) : f32[1,6,6,4]", "%8 = add(%7, %7) : f32[1,6,6,4]",
    "%8 = add(%7, %10) : f32[1,6,6,4]", "%8 = mul(%7, %2) : f32[1,6,6,4]", "%8 = silu(%7) : f32[1,6,6,4]",
  ])
  func sumsBehindConvolutions(_ sum: String) throws {
    let text = """
      graph "image" {
        input %0 "x" : f32[1,6,3,2]
        input %10 "row" : f32[4]
        %1 = weight {name="w", dtype="bf16", shape=[6,6,3,3]} : bf16[6,6,3,3]
        %2 = upsample_nearest(%0) {factor=2} : f32[1,6,6,4]
        %3 = group_norm(%2) {groups=3} : f32[1,6,6,4]
        %4 = silu(%3) : f32[1,6,6,4]
        %5 = conv2d(%4, %1) {pads=[1,1,1,1]} : f32[1,6,6,4]
        %6 = group_norm(%5) {groups=2} : f32[1,6,6,4]
        %7 = conv2d(%6, %1) {pads=[1,1,1,1]} : f32[1,6,6,4]
        \(sum)
        %9 = upsample_nearest(%8) {factor=2} : f32[1,6,12,8]
        %11 = conv2d(%9, %1) {pads=[0,0,1,1], strides=[2,2]} : f32[1,6,6,4]
        %12 = silu(%6) : f32[1,6,6,4]
        output "a" = %11
        output "b" = %12
      }

      """
    var random = Random(seed: 12)
    var weights = TensorStore()
    try weights.append("w", .random(.bfloat16, shape: [6, 6, 3, 3], using: &random))
    let inputs = [
      "x": try Tensor.random(.float32, shape: [1, 6, 3, 2], using: &random),
      "row": try Tensor.random(.float32, shape: [4], using: &random),
    ]
    let graph = try Graph(text: text)
    let expected = try Interpreter(graph, weight: weights.tensor).run(inputs).outputs
    for compute in RunOptions.Compute.allCases {
      let model = Model(graph, weights: weights, options: RunOptions(threads: 2, compute: compute))
      let actual = try Session(model).run(inputs)
      let tolerance = compute == .float32 ? 2e-5 : 2e-2
      for (name, tensor) in expected { #expect(try close(tensor, #require(actual[name]), tolerance), "\(name)") }
    }
  }
}
