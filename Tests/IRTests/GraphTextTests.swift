import IR
import TestSupport
import Tensors
import Testing

@Suite struct GraphTextTests {
  @Test(arguments: GraphFixtures.names)
  func roundTrips(_ name: String) throws {
    let text = try GraphFixtures.text(name)
    var graph = try Graph(text: text)
    #expect(graph.text == text)
    try graph.verify()
    let isSorted = graph.sortTopologically()
    #expect(isSorted)
    #expect(graph.text == text)
  }

  @Test(arguments: GraphFixtures.errors)
  func refuses(_ expected: String, _ text: String) {
    do {
      let graph = try Graph(text: text)
      Issue.record("accepted: \(graph.text)")
    } catch let error as BessemerError {
      #expect("\(error)" == expected)
    } catch {
      Issue.record("\(error)")
    }
  }

  /// Cutting or changing a text anywhere gives a graph or an error, never a crash.
  @Test(arguments: GraphFixtures.names)
  func survivesDamage(_ name: String) throws {
    let bytes = Array(try GraphFixtures.text(name).utf8)
    var generator = SplitMix64(seed: 7)
    for length in stride(from: 0, to: bytes.count - 1, by: 1 + bytes.count / 200) {
      #expect(throws: BessemerError.self) { try Graph(text: String(decoding: bytes[..<length], as: UTF8.self)) }
    }
    for _ in 0..<300 {
      var damaged = bytes
      let index = Int.random(in: 0..<bytes.count, using: &generator)
      damaged[index] = bytes.randomElement(using: &generator)!
      if let graph = try? Graph(text: String(decoding: damaged, as: UTF8.self)) { try graph.verify() }
    }
  }

  @Test func numbersMayBeAnything() throws {
    let text =
      "graph \"\" { # a comment\n input %7 \"x\" : f32[]\n %2000000000=neg(%7):f32[] output \"y\" = %2000000000 }"
    let graph = try Graph(text: text)
    let expected = """
      graph "" {
        input %0 "x" : f32[]
        %1 = neg(%0) : f32[]
        output "y" = %1
      }

      """
    #expect(graph.text == expected)
  }
}
