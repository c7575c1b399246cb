import Tensors
import Testing

@testable import Tokenizers

@Suite struct ByteTokenizerTests {
  /// What transformers' ByT5Tokenizer gives.
  @Test(
    arguments: [
      ("", [1]), ("a </s> b", [100, 1, 101, 1]), ("x<pad>  y", [123, 0, 124, 1]),
      ("<extra_id_3> z", [262, 35, 125, 1]),
      ("q <unk>r", [116, 2, 117, 1]), ("</s>", [1]), (" a ", [35, 100, 35, 1]),
      ("é\u{A0}</s>\u{3000}x", [198, 172, 1, 123, 1]),
      ("\n</s>\t", [1]),
      ("<extra_id_124><extra_id_125", [383, 63, 104, 123, 119, 117, 100, 98, 108, 103, 98, 52, 53, 56, 1]),
    ] as [(String, [Int32])])
  func bytesAreTokens(_ text: String, _ expected: [Int32]) throws {
    #expect(try ByteTokenizer(json: nil).encode(text) == expected)
  }

  @Test func textsAreCutBeforeTheirEnd() throws {
    let tokenizer = try ByteTokenizer(json: nil)
    #expect(try tokenizer.encode("abcdef", maxLength: 4) == [100, 101, 102, 1])
    #expect(try tokenizer.encode("abc", maxLength: 4) == [100, 101, 102, 1])
    #expect(try tokenizer.encode("ab</s>c", maxLength: 4) == [100, 101, 1])
    #expect(try tokenizer.encode("abc", maxLength: 1) == [1])
    #expect(throws: BessemerError.self) { try tokenizer.encode("abc", maxLength: 0) }
  }

  @Test(arguments: [
    "[]", #"{"tokenizer_class": "T5Tokenizer"}"#, #"{"tokenizer_class": 3}"#, #"{"pad_token": "no"}"#,
    #"{"added_tokens_decoder": []}"#, #"{"added_tokens_decoder": {"x": {"content": "a"}}}"#,
    #"{"added_tokens_decoder": {"-1": {"content": "a"}}}"#, #"{"added_tokens_decoder": {"0": {}}}"#,
    #"{"added_tokens_decoder": {"0": {"content": ""}}}"#, #"{"added_tokens_decoder": {"0": 1}}"#,
    #"{"added_tokens_decoder": {"0": {"content": "<pad>"}, "1": {"content": "<pad>"}}}"#,
    #"{"added_tokens_decoder": {"99999999999": {"content": "a"}}}"#,
  ])
  func malformedFilesAreRefused(_ text: String) {
    #expect(throws: BessemerError.self) { try ByteTokenizer(json: JSON.parse(text)) }
  }

  @Test func tokensMayBeNamedByObjects() throws {
    let text = """
      {"tokenizer_class": "ByT5Tokenizer", "eos_token": {"content": "END"}, "pad_token": "PAD",
       "added_tokens_decoder": {"5": {"content": "END"}, "6": {"content": "PAD", "lstrip": true}}}
      """
    let tokenizer = try ByteTokenizer(json: JSON.parse(text))
    #expect(tokenizer.padding == 6 && tokenizer.end == 5)
    #expect(try tokenizer.encode("a PADb") == [100, 6, 101, 5])
  }
}
