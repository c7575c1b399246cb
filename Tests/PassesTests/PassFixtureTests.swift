import Foundation
import IR
import Passes
import TestSupport
import Tensors
import Testing

@Suite struct PassFixtureTests {
  @Test(arguments: PassFixture.all)
  func agrees(_ fixture: PassFixture) throws {
    var graph = try Graph(text: fixture.before)
    try graph.verify()
    let before = graph
    let report = try PassRunner(fixture.passes()).run(on: &graph)
    if ProcessInfo.processInfo.environment["UPDATE_FIXTURES"] != nil { try update(fixture, before, graph) }
    #expect(graph.text == fixture.after)
    #expect(PassFixture.lines(report) == fixture.fields["report"] ?? [])
    #expect(try Graph(text: graph.text).text == graph.text)
    guard fixture.fields["tolerance"] != ["none"] else { return }
    for seed: UInt64 in [1, 2] {
      let (a, b) = (try fixture.run(before, seed: seed), try fixture.run(graph, seed: seed))
      #expect(a.keys.sorted() == b.keys.sorted())
      for (name, tensor) in a {
        let other = try #require(b[name])
        #expect(try fixture.agree(tensor, other), "seed \(seed), \(name): \(tensor.doubles) became \(other.doubles)")
      }
    }
  }

  /// Every pass has cases in which it changes something and cases in which it does not.
  @Test(arguments: (defaultPasses(target: Target.all[0]) + [FuseActivation(), KeepLastPosition()]).map(\.name))
  func covers(_ pass: String) {
    let own = PassFixture.all.filter { $0.fields["passes"] == [pass] }
    #expect(own.contains { $0.before != $0.after })
    #expect(own.contains { $0.before == $0.after })
  }

  /// With UPDATE_FIXTURES set, the graphs are written anew, for a person to read.
  private func update(_ fixture: PassFixture, _ before: Graph, _ after: Graph) throws {
    let result = after.text == before.text ? "unchanged\n" : after.text
    let text = fixture.head + "---\n" + before.text + "---\n" + result
    try text.write(toFile: Fixtures.folder + "/" + fixture.path, atomically: true, encoding: .utf8)
  }
}
