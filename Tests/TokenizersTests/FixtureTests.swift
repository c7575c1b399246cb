import Glibc
import Tensors
import Testing

@testable import Tokenizers

/// A folder of `fixtures/tokenizers`.
struct Fixture: Sendable, CustomTestStringConvertible {
  let name: String

  var testDescription: String { name }

  private static var root: String {
    let parts = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3)
    return parts.joined(separator: "/") + "/fixtures/tokenizers"
  }

  /// Every folder, by name.
  static let all: [Fixture] = {
    guard let folder = opendir(root) else { return [] }
    defer { closedir(folder) }
    var names: [String] = []
    while let entry = readdir(folder) {
      let name = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
        String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
      }
      if entry.pointee.d_type == UInt8(DT_DIR), !name.hasPrefix(".") { names.append(name) }
    }
    return names.sorted().map { Fixture(name: $0) }
  }()

  func read(_ file: String) throws -> [UInt8] {
    let path = "\(Self.root)/\(name)/\(file)"
    guard let stream = fopen(path, "rb") else { throw BessemerError(.fileMissing, "no fixture", file: path) }
    defer { fclose(stream) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while case let count = fread(&chunk, 1, chunk.count, stream), count > 0 { bytes += chunk[..<count] }
    return bytes
  }

  func json() throws -> JSON { try JSON.parse(try read("tokenizer.json")) }

  func tokenizer() throws -> Tokenizer { try Tokenizer(json: try json()) }

  func cases() throws -> [JSON] {
    try read("cases.jsonl").split(separator: 10).map { try JSON.parse(Array($0)) }
  }
}

private func ids(_ json: JSON) throws -> [Int32] { try json.asArray().map { Int32(try $0.asInt()) } }

@Test func fixturesExist() { #expect(Fixture.all.count >= 18) }

@Test(arguments: Fixture.all)
func textsEncodeAndDecode(_ fixture: Fixture) throws {
  let tokenizer = try fixture.tokenizer()
  for test in try fixture.cases() where test["pair"] == nil {
    let text = try test.required("text").asString()
    let expected = try ids(try test.required("ids"))
    #expect(try tokenizer.encode(text) == expected, "\(escaped(text))")
    let decoded = Array(try test.required("decoded").asString().utf8)
    #expect(Array(try tokenizer.decode(expected).utf8) == decoded, "\(escaped(text))")
    let raw = Array(try test.required("raw").asString().utf8)
    #expect(Array(try tokenizer.decode(expected, skipSpecialTokens: false).utf8) == raw, "\(escaped(text))")
  }
}

@Test(arguments: Fixture.all)
func pairsAreCutAsTheLibraryDoes(_ fixture: Fixture) throws {
  let tokenizer = try fixture.tokenizer()
  for test in try fixture.cases() where test["pair"] != nil {
    let text = try test.required("text").asString()
    let pair = try test.required("pair").asString()
    let limit = try test.required("maxLength").asInt()
    let both = try tokenizer.encode(text, pair: pair, maxLength: limit)
    #expect(both.ids == (try ids(try test.required("ids"))))
    #expect(both.typeIDs == (try ids(try test.required("typeIDs"))))
    let plain = try tokenizer.encode(text, addSpecialTokens: false, maxLength: limit)
    #expect(plain == (try ids(try test.required("plain"))))
  }
}

@Test(arguments: Fixture.all)
func streamsGiveTheWholeText(_ fixture: Fixture) throws {
  let tokenizer = try fixture.tokenizer()
  for test in try fixture.cases() where test["pair"] == nil {
    var decoder = StreamDecoder(tokenizer)
    var text = ""
    for id in try ids(try test.required("ids")) { text += try decoder.append(id) }
    text += try decoder.finish()
    #expect(Array(text.utf8) == Array(try test.required("decoded").asString().utf8))
  }
}

@Test(arguments: Fixture.all)
func tokensAndIdsAgree(_ fixture: Fixture) throws {
  let tokenizer = try fixture.tokenizer()
  #expect(tokenizer.lastID >= 0)
  var count = 0
  for id in 0...tokenizer.lastID {
    guard let token = tokenizer.token(of: id) else { continue }
    count += 1
    // A token that is normalized decodes to its normalized form, which need not be a token.
    if let back = tokenizer.id(of: token), tokenizer.token(of: back) == token { #expect(back == id) }
  }
  #expect(count == tokenizer.vocabularySize)
}

@Test func halfACharacterIsHeldBack() throws {
  let fixture = try #require(Fixture.all.first { $0.name == "gpt2" })
  let tokenizer = try fixture.tokenizer()
  var decoder = StreamDecoder(tokenizer)
  var parts: [String] = []
  for id in try tokenizer.encode("ok 🧑🏿 ok") { parts.append(try decoder.append(id)) }
  #expect(parts.contains(""))
  #expect(parts.allSatisfy { !$0.unicodeScalars.contains("\u{FFFD}") })
  #expect(parts.joined() == "ok 🧑🏿 ok")
  #expect(try decoder.finish() == "")
  let open = try tokenizer.encode("🧑").dropLast()
  for id in open { #expect(try decoder.append(id) == "") }
  #expect(try decoder.finish() == "\u{FFFD}")
}
