import TestSupport
import Tensors
import Testing

@testable import Converter

@Suite struct CalibrationLintTests {
  private static let text =
    "Every day Hana carries a kettle near the meadow. Then Quinn took it to the station, where nobody had seen one "
    + "before. \"What is it for?\" asked the guard. She said that water boils in it, and that tea is made of that."

  private func lines(_ count: Int, _ line: (Int) -> String) -> String {
    (0..<count).map(line).joined(separator: "\n") + "\n"
  }

  private func ids(_ count: Int, _ make: (inout SplitMix64) -> [Int]) -> String {
    var generator = SplitMix64(seed: 7)
    return lines(count) { _ in "[\(make(&generator).map(String.init).joined(separator: ","))]" }
  }

  private func codes(_ name: String, _ text: String, model: String? = nil) throws -> [String] {
    let scratch = Scratch()
    try scratch.put(name, text)
    return try CalibrationLint(scratch(name), model: model, limit: 128, length: 2048, threads: 1).problems.map(\.code)
  }

  @Test func textIsFit() throws {
    #expect(try codes("a.txt", lines(6) { "\($0 * 37): " + Self.text.dropFirst(11 * $0) }) == [])
  }

  @Test func tooLittleIsSaid() throws { #expect(try codes("a.txt", "A short text.\n") == ["too-short"]) }

  @Test(arguments: [96, 1000, 30_000]) func randomNumbersAreSaid(_ vocabulary: Int) throws {
    let text = ids(8) { generator in (0..<128).map { _ in Int.random(in: 0..<vocabulary, using: &generator) } }
    #expect(try codes("a.jsonl", text) == ["random"])
  }

  @Test func constantsAreSaid() throws {
    #expect(try codes("a.jsonl", ids(8) { _ in [Int](repeating: 5, count: 128) }).contains("constant"))
  }

  @Test func repetitionIsSaid() throws {
    #expect(
      try codes("a.txt", lines(6) { "\($0)" + String(repeating: "the same again, ", count: 20) }).contains("repetitive")
    )
  }

  @Test func copiesAreSaid() throws { #expect(try codes("a.txt", lines(6) { _ in Self.text }) == ["duplicates"]) }

  @Test func unknownTokensAreSaid() throws {
    let text = ids(8) { generator in (0..<128).map { _ in Int.random(in: 0..<5, using: &generator) * 100 } }
    #expect(try codes("a.jsonl", text, model: CalibrationTests.folder + "/qwen3").contains("unknown-token"))
  }

  @Test func growingRangesAreSaid() throws {
    let path = CalibrationTests.folder + "/calibration.jsonl"
    let lint = try CalibrationLint(
      path, model: CalibrationTests.folder + "/qwen3", limit: 128, length: 2048, threads: 1)
    let growth = try #require(lint.growth)
    #expect(growth.layers.count == 7)
    #expect(growth.layers.allSatisfy { $0.all >= $0.half && $0.half > 0 })
    #expect(lint.problems.contains { $0.code == "too-short" })
    #expect(lint.problems.contains { $0.code == "ranges-grow" } == (growth.share > 0.25))
  }
}
