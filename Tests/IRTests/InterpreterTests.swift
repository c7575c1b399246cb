import IR
import TestSupport
import Tensors
import Testing

@Suite struct InterpreterTests {
  @Test(arguments: GraphFixtures.runnable)
  func runs(_ file: String) throws {
    let json = try Fixtures.json("graphs/" + file)
    let weights = try GraphFixtures.tensors(json["weights"])
    let interpreter = Interpreter(try GraphFixtures.graph(file.dropLast(5) + ".txt")) { name in
      try #require(weights[name.string])
    }
    var states = try GraphFixtures.tensors(json["states"])
    for run in try json.required("runs").asArray() {
      let inputs = try GraphFixtures.tensors(run["inputs"])
      do {
        let result = try interpreter.run(inputs, states: states)
        let expected = try GraphFixtures.tensors(run.required("outputs"))
        #expect(result.outputs.keys.sorted() == expected.keys.sorted())
        for (name, tensor) in expected { #expect(result.outputs[name]?.hasSameValues(as: tensor) == true, "\(name)") }
        #expect(result.states == (try GraphFixtures.tensors(run["states"])))
        states = result.states
      } catch let error as BessemerError {
        #expect(error.code.rawValue == run["error"]?.string, "\(error)")
        continue
      }
      #expect(run["error"] == nil)
    }
  }

  /// A cache makes no difference: all tokens at once give what one after the other gives.
  @Test func stepsAgreeWithOneRun() throws {
    let graph = try GraphFixtures.graph("decoder.txt")
    let weights = try randomWeights(of: graph, seed: 3)
    let interpreter = Interpreter(graph) { try #require(weights[$0]) }
    let ids: [Int64] = [3, 0, 10, 7, 7]
    let whole = try interpreter.run(["input_ids": Tensor(ids, shape: [1, 5])])
    var states: [String: Tensor] = [:]
    var hidden: [Double] = []
    for part in [ids[0..<2], ids[2..<3], ids[3..<5]] {
      let step = try interpreter.run(["input_ids": Tensor(Array(part), shape: [1, part.count])], states: states)
      states = step.states
      hidden += try #require(step.outputs["hidden"]).doubles
    }
    let all = try #require(whole.outputs["hidden"])
    let joined = try Tensor(.float32, shape: all.shape, doubles: hidden)
    #expect(all.maximumRelativeError(to: joined, floor: 1e-3) < 1e-6)
    #expect(states["layers.0.key"]?.maximumRelativeError(to: try #require(whole.states["layers.0.key"])) == 0)
  }

  @Test func bindingGivesEveryType() throws {
    let graph = try GraphFixtures.graph("decoder.txt")
    let types = try graph.types(binding: ["batch": 2, "sequence": 3, "past": 4])
    #expect(graph.outputs.map { types[$0.value.ordinal].description } == ["f32[2,3,16]", "f32[2,1,8]"])
    #expect(graph.states.map { types[$0.update.ordinal].description } == ["f32[2,2,7,8]", "f32[2,2,7,8]"])
    #expect(throws: BessemerError.self) { try graph.types(binding: ["batch": 2, "sequence": 3]) }
  }

  @Test func bindingChecksWhatSymbolsLeftOpen() throws {
    let text = """
      graph "" {
        input %0 "a" : f32[n]
        input %1 "b" : f32[3]
        %2 = add(%0, %1) : f32[3]
        output "y" = %2
      }
      """
    let graph = try Graph(text: text)
    #expect(try graph.types(binding: ["n": 1])[2].description == "f32[3]")
    let error = #expect(throws: BessemerError.self) { try graph.types(binding: ["n": 2]) }
    #expect(error?.message == "add: add_c2: f32[2] and f32[3] do not broadcast")
  }

  private func randomWeights(of graph: Graph, seed: UInt64) throws -> [TensorName: Tensor] {
    var generator = SplitMix64(seed: seed)
    var weights: [TensorName: Tensor] = [:]
    for id in graph.nodeIDs {
      guard let weight = graph[id].op as? Weight else { continue }
      weights[weight.name] = try .random(weight.dtype, shape: weight.shape, using: &generator)
    }
    return weights
  }
}
