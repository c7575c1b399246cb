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
    #expect(cost.byOperator["linear"] == OpCost(operations: 2 * 6 * 16 * 4, bytes: 6 * 4 * 4 + 64 * 2 + 6 * 16 * 4))
    #expect(cost.byOperator["reshape"] == OpCost())
    #expect(cost.byOperator["exp"] == OpCost(operations: 96, bytes: 2 * 96 * 4))
    #expect(cost.total.operations == 768 + 96)
  }

  @Test func attentionGathersAndExperts() throws {
    let attention = Attention(scale: 1)
    let (q, k) = (TensorType(.float32, [1, 4, 5, 8]), TensorType(.float32, [1, 2, 7, 8]))
    let cost = attention.cost([q, k, k], [q])
    #expect(cost.operations == 4 * 5 * 7 * (2 * 8 + 2 * 8 + 5) && cost.bytes == Double((160 + 112 + 112 + 160) * 4))
    let table = TensorType(.bfloat16, [1000, 8])
    #expect(Gather().cost([table, TensorType(.int64, [3])], [TensorType(.bfloat16, [3, 8])]).bytes == 3 * 8 + 2 * 48)
    let experts = (0..<4).flatMap { _ in
      [TensorType(.bfloat16, [6, 8]), TensorType(.bfloat16, [6, 8]), TensorType(.bfloat16, [8, 6])]
    }
    func mixture(_ rows: Int) -> OpCost {
      let x = TensorType(.float32, [.known(rows), 8])
      let choice: [Dim] = [.known(rows), 2]
      return MixtureOfExperts().cost([x, TensorType(.float32, choice), TensorType(.int64, choice)] + experts, [x])
    }
    #expect(mixture(1).operations == 2 * (6 * 48 + 2 * 6 + 2 * 8))
    // One row reads two experts, a hundred rows all four.
    #expect(mixture(1).bytes == 2 * 3 * 48 * 2 + 8 * 4 + 2 * 4 + 2 * 8 + 8 * 4)
    #expect(mixture(100).bytes == 4 * 3 * 48 * 2 + 100 * (8 * 4 + 2 * 4 + 2 * 8 + 8 * 4))
  }

  @Test func lengthsOfStatesAreNothingAtFirst() throws {
    let graph = try graph(
      """
        input %0 "x" : f32[batch,2,sequence,4]
        state %1 "key" : f32[batch,2,past,4] {axis=2, capacity=64}
        %2 = concat(%1, %0) {axis=2} : f32[batch,2,past+sequence,4]
        output "y" = %2
        update %1 = %2
      """)
    #expect(GraphCost.defaultSizes(of: graph) == ["batch": 1, "sequence": 512, "past": 0])
    #expect(
      try GraphCost(graph, sizes: ["batch": 1, "sequence": 1, "past": 9]).total == OpCost(operations: 0, bytes: 640))
  }
}
