import Tensors
import Testing

@testable import Tokenizers

private let model = #"{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":["a b"]}"#

private func file(_ members: String, model: String = model) -> String { "{\(members)\"model\":\(model)}" }

private func token(_ content: String, _ id: Int, normalized: Bool = false) -> String {
  #"{"id":\#(id),"content":"\#(content)","single_word":false,"lstrip":false,"rstrip":false,"#
    + #""normalized":\#(normalized),"special":false}"#
}

@Test(arguments: [
  file(#""normalizer":{"type":"Precompiled","precompiled_charsmap":""},"#),
  file(#""pre_tokenizer":{"type":"UnicodeScripts"},"#),
  file(#""decoder":{"type":"Nope"},"#),
  file(#""post_processor":{"type":"Nope"},"#),
  file("", model: #"{"type":"Nope"}"#),
  file(#""pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Nope"}]},"#),
  file("", model: #"{"type":"BPE","vocab":{},"merges":[],"dropout":0.1}"#),
])
func unknownComponentsAreNamed(_ text: String) throws {
  let error = #expect(throws: BessemerError.self) { try Tokenizer(json: try JSON.parse(text)) }
  #expect(error?.code == .unsupportedFeature)
}

@Test(arguments: [
  "{}", "[]", file("", model: "null"), file(#""version":"2.0","#), file(#""normalizer":{"type":7},"#),
  file("", model: #"{"type":"BPE","vocab":{"a":0},"merges":["a b"]}"#),
  file("", model: #"{"type":"BPE","vocab":{"a":0,"b":1},"merges":["a b"]}"#),
  file("", model: #"{"type":"BPE","vocab":{"a":0},"merges":["a"]}"#),
  file("", model: #"{"type":"BPE","vocab":{"a":0},"merges":[["a"]]}"#),
  file("", model: #"{"type":"BPE","vocab":{"a":-1},"merges":[]}"#),
  file("", model: #"{"type":"BPE","vocab":{"a":99999999999},"merges":[]}"#),
  file("", model: #"{"type":"BPE","vocab":{"a":0,"b":0,"c":3},"merges":[]}"#),
  file("", model: #"{"type":"BPE","vocab":{"a":"0"},"merges":[]}"#),
  file("", model: #"{"type":"WordLevel","vocab":{"a":0},"unk_token":"b"}"#),
  file("", model: #"{"type":"Unigram","vocab":[["a",-1.0]],"unk_id":1}"#),
  file("", model: #"{"type":"Unigram","vocab":[["a"]],"unk_id":0}"#),
  file("\"added_tokens\":[\(token("x", 9))],"), file("\"added_tokens\":[{\"id\":3}],"),
  file(
    "\"normalizer\":{\"type\":\"Lowercase\"},"
      + "\"added_tokens\":[\(token("X", 3, normalized: true)),\(token("x", 4, normalized: true))],"
  ),
  file(
    "\"normalizer\":{\"type\":\"Strip\",\"strip_left\":true,\"strip_right\":true},"
      + "\"added_tokens\":[\(token(" ", 3, normalized: true))],"
  ),
  file(#""pre_tokenizer":{"type":"Split","pattern":{"String":""},"behavior":"Removed","invert":false},"#),
  file(#""pre_tokenizer":{"type":"Split","pattern":{"String":"a"},"behavior":"Nope","invert":false},"#),
  file(#""pre_tokenizer":{"type":"FixedLength","length":0},"#),
  file(#""pre_tokenizer":{"type":"Metaspace","replacement":"ab"},"#),
  file(
    #""post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"x","type_id":0}}],"#
      + #""pair":[],"special_tokens":{}},"#
  ),
  file(
    #""post_processor":{"type":"TemplateProcessing","single":[{"Sequence":{"id":"B","type_id":0}}],"#
      + #""pair":[],"special_tokens":{}},"#
  ),
  file(#""post_processor":{"type":"BertProcessing","sep":["x",1],"cls":["x"]},"#),
])
func malformedFilesAreRefused(_ text: String) throws {
  let error = #expect(throws: BessemerError.self) { try Tokenizer(json: try JSON.parse(text)) }
  #expect(
    error.map { [.tokenizer, .json, .unsupportedFeature].contains($0.code) } == true, "\(String(describing: error))")
}

@Test func lengthsBelowTheSpecialTokensAreRefused() throws {
  let fixture = try #require(Fixture.all.first { $0.name == "bert-uncased" })
  let tokenizer = try fixture.tokenizer()
  #expect(try tokenizer.encode("some words", maxLength: 2).count == 2)
  #expect(throws: BessemerError.self) { try tokenizer.encode("some words", maxLength: 1) }
  #expect(throws: BessemerError.self) { try tokenizer.encode("some words", addSpecialTokens: false, maxLength: -1) }
}

@Test func charactersWithoutATokenAreAnErrorOnlyIfTheUnknownTokenIsMissing() throws {
  let silent = try Tokenizer(json: try JSON.parse(file("")))
  #expect(try silent.encode("axb") == [2])
  let strict = #"{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":["a b"],"unk_token":"<unk>"}"#
  let tokenizer = try Tokenizer(json: try JSON.parse(file("", model: strict)))
  #expect(try tokenizer.encode("ab") == [2])
  #expect(throws: BessemerError.self) { try tokenizer.encode("axb") }
}

/// Files cut off or changed anywhere never trap.
@Test(arguments: ["bert-cased", "llama2", "unigram", "engine"])
func damagedFilesNeverTrap(_ name: String) throws {
  let fixture = try #require(Fixture.all.first { $0.name == name })
  let bytes = try fixture.read("tokenizer.json")
  var generator = SystemRandomNumberGenerator()
  let seed = UInt64.random(in: 0...UInt64.max, using: &generator)
  var state = seed
  func next(_ bound: Int) -> Int {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Int(state >> 33) % bound
  }
  let replacements = Array("0123456789\"{}[],:-truefalsn\\ABC".utf8)
  for _ in 0..<150 {
    var damaged = bytes
    for _ in 0...next(3) { damaged[next(damaged.count)] = replacements[next(replacements.count)] }
    do {
      let tokenizer = try Tokenizer(json: try JSON.parse(damaged))
      _ = try tokenizer.decode(try tokenizer.encode("The quick 你好 é <both> 123"))
    } catch is BessemerError {
    } catch {
      Issue.record("\(error), seed \(seed)")
    }
  }
}
