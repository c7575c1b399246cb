import TestSupport
import Tensors
import Testing

@testable import IR

@Suite struct GraphTests {
  /// What is broken in a copy of `mlp.txt`, and what `verify` says.
  static let damages: [(expected: String, damage: @Sendable (inout Graph) throws -> Void)] = [
    ("reads a value that is computed after it, or never", { $0.order.reverse() }),
    ("reads a value that is computed after it, or never", { $0.order.removeFirst() }),
    ("an output or state is a value that is never computed", { $0.order.removeLast() }),
    ("the uses of value 0 are not what its users say", { $0.values[0].users.removeLast() }),
    ("the uses of value 6 are not what its users say", { $0.values[6].rootCount = 0 }),
    ("has other result types than inferred", { $0.values[3].type = TensorType(.float32, [8, 8]) }),
    ("defines a value twice", { $0.values[3].producer = nil }),
    (
      "linear_c2: f32[batch,4] does not go with weight f32[8]",
      { graph in
        let (weight, bias) = (ValueID(index: 1), ValueID(index: 2))
        graph.nodes[2]?.operands[1] = bias
        graph.values[Int(weight.index)].users = []
      }
    ),
  ]

  @Test(arguments: damages.indices)
  func verifyFinds(_ index: Int) throws {
    var graph = try GraphFixtures.graph("mlp.txt")
    try graph.verify()
    try Self.damages[index].damage(&graph)
    let error = #expect(throws: BessemerError.self) { try graph.verify() }
    #expect(error?.code == .graph)
    #expect(error?.message.contains(Self.damages[index].expected) == true, "\(error?.message ?? "")")
  }

  @Test func verifyFindsAStateThatChangesItsType() throws {
    var graph = Graph(name: "")
    let state = graph.addState("s", TensorType(.float32, [2, "past"]), axis: 1, capacity: 4)
    graph.setUpdate(try graph.add(Concat(axis: 1), [state, state])[0], of: state)
    try graph.verify()
    graph.setUpdate(try graph.add(Concat(axis: 0), [state, state])[0], of: state)
    let error = #expect(throws: BessemerError.self) { try graph.verify() }
    #expect(error?.message == "state \"s\" changes from f32[2,past] to f32[4,past]")
  }

  @Test func rewritingKeepsUses() throws {
    var graph = try GraphFixtures.graph("mlp.txt")
    let x = graph.inputs[0].value
    let add = try #require(graph.producer(of: graph.outputs[0].value))
    #expect(graph.users(of: x).count == 2 && !graph.isRoot(x) && !graph.hasOneUse(x))
    // Refused, and nothing changes: another type.
    let refused = [graph.replace(add, with: Cast(to: .float16), [x]), graph.replace(add, with: Squeeze(axis: 0), [x])]
    #expect(refused == [false, false])
    try graph.verify()
    let accepted = graph.replace(add, with: Multiply(), [x, x])
    #expect(accepted)
    try graph.verify()
    #expect(graph.node(add) == nil && graph.nodeCount == 6 && graph.users(of: x).count == 3)
    let erased = [graph.eraseDeadNodes(), graph.eraseDeadNodes()]
    #expect(erased == [true, false])
    try graph.verify()
    #expect(graph.nodeCount == 1 && graph.nodeIDs.count == 1)
    #expect(graph.producer(of: graph.outputs[0].value, as: Multiply.self) != nil)
    graph.replaceUses(of: graph.outputs[0].value, with: x)
    graph.eraseDeadNodes()
    #expect(graph.isRoot(x) && graph.nodeCount == 0)
    try graph.verify()
  }

  @Test func sortingFollowsUsesAndFindsCycles() throws {
    var graph = try GraphFixtures.graph("decoder.txt")
    let text = graph.text
    graph.order.reverse()
    let isSorted = graph.sortTopologically()
    #expect(isSorted)
    try graph.verify()
    #expect(graph.nodeCount == graph.nodeIDs.count && graph.text != text)
    var cycle = Graph(name: "")
    let x = cycle.addInput("x", TensorType(.float32, [2]))
    let first = try cycle.add(Negate(), [x])[0]
    let second = try cycle.add(Exp(), [first])[0]
    cycle.replaceUses(of: x, with: second)
    let hasOrder = cycle.sortTopologically()
    #expect(!hasOrder)
  }

  @Test func copiesAreIndependent() throws {
    let graph = try GraphFixtures.graph("mlp.txt")
    var copy = graph
    copy.replaceUses(of: copy.outputs[0].value, with: copy.inputs[0].value)
    copy.eraseDeadNodes()
    #expect(graph.nodeCount == 6 && copy.nodeCount == 0)
    try graph.verify()
  }

  /// Sums of many large dimensions end in an error, not in an overflow.
  @Test func dimensionsAreBounded() throws {
    var graph = Graph(name: "")
    let large = graph.addInput("a", TensorType(.int8, [.known(1 << 48)]))
    let symbol = graph.addInput("b", TensorType(.int8, ["n"]))
    var deep = large
    while graph.type(of: deep).rank < 32 { deep = try graph.add(Unsqueeze(axis: 0), [deep])[0] }
    let cases: [(op: any Op, operands: [ValueID])] = [
      (Concat(axis: 0), [ValueID](repeating: large, count: 40_000)),
      (Concat(axis: 0), [ValueID](repeating: symbol, count: 400)), (Concat(axis: 0), [symbol, large, large]),
      (Unsqueeze(axis: 0), [deep]),
    ]
    for (op, operands) in cases {
      var copy = graph
      let error = #expect(throws: OpError.self) { try copy.add(op, operands) }
      #expect(error?.constraint == "\(Swift.type(of: op).schema.name)_limit")
    }
  }
}
