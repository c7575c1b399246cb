import IR
import Tensors
import Testing

@Suite struct GraphCostTests {
  private func graph(_ lines: String) throws -> Graph { try Graph(text: "graph \"g\" {\n\(lines)\n}\n") }

  @Test func productsCountTwoAndWeightsAreReadAsStored() throws {
    let graph = try graph(
      """
        input %0 "x" : f32[batch,sequence,4]
        %1 = weight {dtype="bf16", name="w", shape=[8,4]} : bf16[8,4]
        %2 = weight {dtype="bf16", name="v", shape=[8,4]} : bf16[8,4]
        %3 = concat(%1, %2) {axis=0} : bf16[16,4]
        %4 = cast(%3) {to="f32"} : f32[16,4]
        %5 = linear(%0, %4) : f32[batch,sequence,16]
        %6 = reshape(%5) {shape=[0,0,2,8]} : f32[batch,sequence,2,8]
        %7 = exp(%6) : f32[batch,sequence,2,8]
        output "y" = %7
      """)
    #expect(GraphCost.defaultSizes(of: graph) == ["batch": 1, "sequence": 512])
    let cost = try GraphCost(graph, sizes: ["batch": 2, "sequence": 3])
    #expect(cost.parameterCount == 64)
    #expect(cost.byOperator.keys.sorted() == ["exp", "linear", "reshape"])
    // Six rows of four in, of sixteen out; 64 weights of two bytes.
    #expect(cost.byOperator["linear"] == OpCost(operations: 768, bytes: 96 + 128 + 384))
    #expect(cost.byOperator["reshape"] == OpCost())
    #expect(cost.byOperator["exp"] == OpCost(operations: 96, bytes: 768))
    #expect(cost.total.operations == 768 + 96)
  }

  @Test func attentionGathersAndExperts() throws {
    let attention = Attention(scale: 1)
    let (q, k) = (TensorType(.float32, [1, 4, 5, 8]), TensorType(.float32, [1, 2, 7, 8]))
    let cost = attention.cost([q, k, k], [q])
    // 140 scores of two products of eight, and their softmax.
    let operations: Double = 140 * 37
    let bytes: Double = 544 * 4
    #expect(cost == OpCost(operations: operations, bytes: bytes))
    let table = TensorType(.bfloat16, [1000, 8])
    #expect(Gather().cost([table, TensorType(.int64, [3])], [TensorType(.bfloat16, [3, 8])]).bytes == 120)
    let experts = (0..<4).flatMap { _ in
      [TensorType(.bfloat16, [6, 8]), TensorType(.bfloat16, [6, 8]), TensorType(.bfloat16, [8, 6])]
    }
    func mixture(_ rows: Int) -> OpCost {
      let x = TensorType(.float32, [.known(rows), 8])
      let choice: [Dim] = [.known(rows), 2]
      return MixtureOfExperts().cost([x, TensorType(.float32, choice), TensorType(.int64, choice)] + experts, [x])
    }
    #expect(mixture(1).operations == 632)
    // One row reads two experts, a hundred rows all four.
    let row: Double = 88
    let expert: Double = 288
    #expect(mixture(1).bytes == 2 * expert + row)
    #expect(mixture(100).bytes == 4 * expert + 100 * row)
  }

  @Test func picturesAreOfACommonSize() throws {
    let graph = try graph("  input %0 \"x\" : f32[images,4,2*height,8*width]\n  output \"y\" = %0")
    #expect(GraphCost.defaultSizes(of: graph) == ["images": 1, "height": 64, "width": 64])
  }

  @Test func lengthsOfStatesAreNothingAtFirst() throws {
    let graph = try graph(
      """
        input %0 "x" : f32[batch,2,sequence,4]
        state %1 "key" : f32[batch,2,past,4] {axis=2, capacity=64}
        %2 = concat(%1, %0) {axis=2} : f32[batch,2,past+sequence,4]
        output "y" = %2
        update "key" = %2
      """)
    #expect(GraphCost.defaultSizes(of: graph) == ["batch": 1, "sequence": 512, "past": 0])
    #expect(
      try GraphCost(graph, sizes: ["batch": 1, "sequence": 1, "past": 9]).total == OpCost(operations: 0, bytes: 640))
  }
}
