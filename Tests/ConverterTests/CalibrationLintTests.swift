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

  /// A document of the repository, as sequences of its paragraphs.
  private func document(_ name: String) throws -> [String] {
    let text = try TextFile.text(Fixtures.folder + "/../" + name)
    return text.split(separator: "\n\n").map { $0.split(whereSeparator: \.isWhitespace).joined(separator: " ") }
  }

  @Test(arguments: ["docs/QUANTIZATION.md", "docs/CLI.md", "README.md", "fixtures/quantization/make_packages.py"])
  func shuffledTextIsSaid(_ name: String) throws {
    let lines = try document(name)
    #expect(try !codes("a.txt", lines.joined(separator: "\n")).contains("random"))
    var generator = SplitMix64(seed: 11)
    let characters = lines.map { String($0.shuffled(using: &generator)) }
    #expect(try codes("a.txt", characters.joined(separator: "\n")).contains("random"))
    let words = lines.map { $0.split(separator: " ").shuffled(using: &generator).joined(separator: " ") }
    #expect(try codes("a.txt", words.joined(separator: "\n")).contains("random"))
    // Token ids without a text.
    let numbers = lines.map { line in "[\(line.utf8.map(String.init).joined(separator: ","))]" }
    #expect(try !codes("a.jsonl", numbers.joined(separator: "\n")).contains("random"))
    let mixed = characters.map { line in "[\(line.utf8.map(String.init).joined(separator: ","))]" }
    #expect(try codes("a.jsonl", mixed.joined(separator: "\n")).contains("random"))
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

  /// Sequences of few tokens, and then of all: the largest inputs are among the later ones.
  @Test func growingRangesAreSaid() throws {
    func lint(_ sequences: [[Int]]) throws -> CalibrationLint {
      let scratch = Scratch()
      try scratch.put(
        "a.jsonl", lines(sequences.count) { "[\(sequences[$0].map(String.init).joined(separator: ","))]" })
      return try CalibrationLint(
        scratch("a.jsonl"), model: CalibrationTests.folder + "/qwen3", limit: 128, length: 2048, threads: 1)
    }
    var generator = SplitMix64(seed: 3)
    func sequences(_ tokens: Range<Int>) -> [[Int]] {
      (0..<12).map { _ in (0..<48).map { _ in Int.random(in: tokens, using: &generator) } }
    }
    let (few, all) = (sequences(40..<44), sequences(0..<200))
    let growing = try lint(few + all)
    let growth = try #require(growing.growth)
    #expect(growth.layers.count == 7)
    #expect(growth.layers.allSatisfy { $0.all >= $0.half && $0.half > 0 })
    #expect(growth.share > 0.25 && growth.growing.allSatisfy { $0.all > 1.1 * $0.half })
    #expect(growing.problems.contains { $0.code == "ranges-grow" })
    // The other way round next to nothing grows.
    let settled = try lint(all + few)
    #expect(!settled.problems.contains { $0.code == "ranges-grow" })
  }
}
