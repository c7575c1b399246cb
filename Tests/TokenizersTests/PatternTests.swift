import Tensors
import Testing

@testable import Tokenizers

/// All texts of the fixtures.
private func texts() throws -> [String] {
  var texts: [String] = []
  for fixture in Fixture.all { texts += try fixture.cases().map { try $0.required("text").asString() } }
  return texts
}

private func matches(_ pattern: String, _ text: String) throws -> [Range<Int>] {
  let bytes = Array(text.utf8)
  var budget = Regex.Budget(byteCount: bytes.count)
  var found: [Range<Int>] = []
  try Regex(pattern).forEachMatch(bytes.span, budget: &budget) { found.append($0) }
  return found
}

/// The splitters written by hand against the engine, which reads the same patterns.
@Test(arguments: WordPattern.allCases)
func handWrittenSplittersEqualTheEngine(_ pattern: WordPattern) throws {
  let regex = try Regex(pattern.text)
  let splitter = WordSplitter(pattern)
  for text in try texts() {
    let bytes = Array(text.utf8)
    var byHand: [Range<Int>] = []
    splitter.forEachMatch(bytes.span, in: 0..<bytes.count) { byHand.append($0) }
    var byEngine: [Range<Int>] = []
    var budget = Regex.Budget(byteCount: bytes.count)
    try regex.forEachMatch(bytes.span, budget: &budget) { byEngine.append($0) }
    #expect(byHand == byEngine, "\(escaped(text))")
    if pattern.coversEverything { #expect(byHand.reduce(0) { $0 + $1.count } == bytes.count) }
  }
}

@Test(arguments: [
  (#"a+?b"#, "aab ab", [0..<3, 4..<6]), (#"a{2}"#, "aaaaa", [0..<2, 2..<4]), (#"a{2}?"#, "aaa", [0..<2, 3..<3]),
  (#"a{1,2}+"#, "aaaaa", [0..<5]), (#"a++a"#, "aaa", []), (#"x*"#, "axb", [0..<0, 1..<2, 3..<3]),
  (#"(?<=a)b|(?<!a)c"#, "ab ac bc", [1..<2, 7..<8]), (#"^b|a$"#, "a\nb", [0..<1, 2..<3]),
  (#"[\p{L}&&[^a-z]]"#, "aBé", [1..<2, 2..<4]), (#"(?i:ſ|k)"#, "", []), (#"\bé"#, "é aé", [0..<2]),
  (#"(?>a|ab)c"#, "abc", []), (#"(?i)a(?-i)b|c"#, "Ab AB C c", [0..<2]), (#"{a}"#, "{a}", [0..<3]),
])
func patternsMatch(_ pattern: String, _ text: String, _ expected: [Range<Int>]) throws {
  if pattern.unicodeScalars.contains("ſ") {
    #expect(throws: BessemerError.self) { try Regex(pattern) }
  } else {
    #expect(try matches(pattern, text) == expected)
  }
}

@Test(arguments: [
  #"(a"#, #"a)"#, #"[a"#, #"*a"#, #"a**"#, #"a{2}{3}"#, #"(a*)*"#, #"\1"#, #"(?<n>a)"#, #"\p{Nope}"#, #"\p"#, #"[]"#,
  #"[z-a]"#, #"(?<=a+)b"#, #"\x{110000}"#, #"a{9999}"#, #"(?i:ss)"#, #"\K"#, #"[[:nope:]]"#, #"\"#, #"(?x: a)"#,
])
func oddPatternsAreRefused(_ pattern: String) {
  let error = #expect(throws: BessemerError.self) { try Regex(pattern) }
  #expect(error?.code == .unsupportedFeature)
}

@Test func deepAndLargePatternsAreRefused() {
  let deep = String(repeating: "(", count: 5000) + String(repeating: ")", count: 5000)
  let brackets = String(repeating: "[a", count: 4000)
  let wide = String(repeating: "(a{1000}b", count: 20) + String(repeating: "){1000}", count: 20)
  let empty = String(repeating: "(", count: 20) + String(repeating: "){1000}", count: 20)
  let behind = "(?<=" + String(repeating: "(?:", count: 20) + "a" + String(repeating: "){1000}", count: 20) + ")"
  for pattern in [deep, brackets, wide, empty, behind] {
    #expect(throws: BessemerError.self) { try Regex(pattern) }
  }
}

@Test func catastrophicPatternsEnd() throws {
  let bytes = [UInt8](repeating: UInt8(ascii: "a"), count: 5_000)
  var budget = Regex.Budget(steps: 200_000)
  let error = #expect(throws: BessemerError.self) {
    try Regex(#"(?:a+)+b|(?:a|aa)+c"#).forEachMatch(bytes.span, budget: &budget) { _ in }
  }
  #expect(error?.code == .limit)
}
