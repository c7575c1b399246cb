import IR
import Passes
import Synchronization
import Tensors
import Testing

@Suite struct PassRunnerTests {
  private func graph() throws -> Graph {
    try Graph(
      text: """
        graph "g" {
          input %0 "x" : f32[4]
          %1 = relu(%0) : f32[4]
          %2 = sigmoid(%0) : f32[4]
          %3 = mul(%0, %2) : f32[4]
          output "y" = %3
        }

        """)
  }

  @Test func reportsStepsAndShowsGraphs() throws {
    let seen = Mutex<[String]>([])
    var runner = PassRunner([EraseDeadCode(), FuseSilu(), FuseGelu()])
    runner.observe = { index, pass, graph in seen.withLock { $0.append("\(index) \(pass) \(graph.nodeCount)") } }
    var graph = try graph()
    let report = try runner.run(on: &graph)
    #expect(seen.withLock { $0 } == ["0 start 3", "1 erase-dead-code 2", "2 fuse-silu 1", "3 fuse-gelu 1"])
    #expect(report.steps.map(\.pass) == ["erase-dead-code", "fuse-silu", "fuse-gelu"])
    #expect(report.steps.map(\.changed) == [true, true, false])
    #expect(report.steps.allSatisfy { $0.seconds >= 0 })
  }

  @Test func stopsAfterAPass() throws {
    var runner = PassRunner(defaultPasses())
    runner.stopAfter = "eliminate-common-subexpressions"
    var graph = try graph()
    #expect(try runner.run(on: &graph).steps.count == 3)
    runner.stopAfter = "fuse-all"
    #expect { try runner.run(on: &graph) } throws: { ($0 as? BessemerError)?.code == .usage }
  }

  @Test func anErrorNamesThePassThatBrokeTheGraph() throws {
    struct Tie: GraphPass {
      let name = "tie"
      func run(on graph: inout Graph, report _: inout PassReport) throws -> Bool {
        let relu = graph[graph.nodeIDs[0]]
        let node = try graph.add(Negate(), [relu.results[0]])[0]
        graph.replaceUses(of: relu.operands[0], with: node)
        return true
      }
    }
    var graph = try graph()
    graph.addOutput("z", graph[graph.nodeIDs[0]].results[0])
    #expect { try PassRunner([Tie()]).run(on: &graph) } throws: { error in
      guard let error = error as? BessemerError else { return false }
      return error.code == .graph && error.message.contains("tie")
    }
  }

  @Test func countsAreSorted() {
    var report = PassReport()
    report.made("b", by: "p")
    report.made("a", by: "p")
    report.made("a", by: "q")
    report.declined("a", by: "p", because: "z")
    report.declined("a", by: "p", because: "y")
    report.declined("a", by: "p", because: "z")
    #expect(report.made.map { "\($0.result) \($0.count)" } == ["a 2", "b 1"])
    #expect(report.declined.map { "\($0.result) \($0.reason) \($0.count)" } == ["a y 1", "a z 2"])
  }

  @Test func pipelinesAreIdempotent() throws {
    for target in [nil] + Target.all.map(Optional.some) {
      var once = try graph()
      _ = try PassRunner(defaultPasses(target: target)).run(on: &once)
      var twice = once
      let report = try PassRunner(defaultPasses(target: target)).run(on: &twice)
      #expect(twice.text == once.text)
      #expect(report.made.isEmpty)
    }
  }

  /// Erasing and replacing readers takes no time that grows with the square of their number.
  @Test func aValueWithManyReaders() throws {
    var graph = Graph(name: "wide")
    let x = graph.addInput("x", TensorType(.float32, shape: [4]))
    for k in 0..<20_000 {
      let y = try graph.add(Slice(axis: 0, start: k % 4), [x])[0]
      if k % 10 == 0 { graph.addOutput("y\(k)", try graph.add(Relu(), [y])[0]) }
    }
    let clock = ContinuousClock()
    let time = try clock.measure { _ = try PassRunner(cleanupPasses()).run(on: &graph) }
    #expect(graph.nodeCount == 4)
    #expect(time < .seconds(20))
  }

  @Test func targetsAreFoundByName() {
    #expect(Set(Target.all.map(\.name)).count == Target.all.count)
    #expect(Target(named: "ascend910b3")?.name == "Ascend910B3")
    #expect(Target(named: "Ascend910B3")?.family == .ascend910B)
    #expect(Target(named: "Ascend999") == nil)
    #expect(Target(named: "Ascend910B3")?.types(of: Ascend.RmsNorm.self) == [.bfloat16, .float16, .float32])
    #expect(Target(named: "Ascend310")?.types(of: Ascend.RmsNorm.self) == [])
    #expect(Target(named: "Ascend310P3")?.types(of: Add.self) == [])
  }
}
