import Tensors
import TestSupport
import Testing

@Suite struct JSONTests {
  /// Text and its compact rewriting.
  static let accepted: [(String, String)] = [
    ("{}", "{}"), ("[]", "[]"), (" \t\r\n{ } ", "{}"), ("null", "null"), ("true", "true"), ("false", "false"),
    ("0", "0"), ("-1", "-1"), ("9223372036854775807", "9223372036854775807"),
    ("-9223372036854775808", "-9223372036854775808"), ("18446744073709551615", "18446744073709551615"),
    ("-0", "-0.0"), ("1.5e3", "1500.0"), ("1E-2", "0.01"), ("0.1", "0.1"), ("1e400", "null"), ("5e-324", "5e-324"),
    ("[1,[2,[]],{\"a\":{}}]", "[1,[2,[]],{\"a\":{}}]"), ("\"\\u00e9\\ud83d\\ude00\"", "\"é😀\""),
    ("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\\"\\\\/\\u0008\\u000c\\n\\r\\t\""), ("\"\u{7f}\"", "\"\\u007f\""),
    ("{\"e\u{301}\":1,\"\u{e9}\":2}", "{\"e\u{301}\":1,\"\u{e9}\":2}"), ("{\"\":null}", "{\"\":null}"),
    ("\"12345678\u{1F600}abcdefghij\u{FFFF}\"", "\"12345678\u{1F600}abcdefghij\u{FFFF}\""),
  ]

  @Test(arguments: accepted)
  func accepts(text: String, written: String) throws {
    var writer = JSONWriter(.compact)
    writer.value(try JSON.parse(text))
    #expect(writer.text == written)
  }

  /// Text and what the error must say.
  static let refused: [(String, String)] = [
    ("", "a JSON value at byte 0, found the end"), (" ", "byte 1"), ("{", "a key or '}' at byte 1"),
    ("[", "a JSON value at byte 1"), ("[1", "',' or ']'"), ("{\"a\"", "':' after a key at byte 4"),
    ("{\"a\":}", "a JSON value at byte 5, found '}'"), ("{\"a\":1,}", "a key at byte 7"), ("[1,]", "at byte 3"),
    ("{} {}", "the end of the text after the JSON value at byte 3"), ("{}x", "byte 2"), ("{}\0", "byte 0x00"),
    ("'a'", "found '''"), ("/**/1", "found '/'"), ("01", "leading zero at byte 0"), ("-01", "leading zero"),
    ("+1", "found '+'"),
    ("0x1", "found 'x'"), ("1.", "a digit at byte 2"), (".5", "found '.'"), ("1e", "a digit"), ("1e+", "a digit"),
    ("-", "a digit"),
    ("NaN", "found 'N'"), ("Infinity", "found 'I'"), ("-Infinity", "a digit"), ("nul", "the word 'null'"),
    ("tru", "'true'"),
    ("nulll", "after the JSON value"), ("\"", "not closed"), ("\"\\", "after a backslash"),
    ("\"\\x\"", "after a backslash"),
    ("\"\\u12g4\"", "hexadecimal"), ("\"\\ud800\"", "lone surrogate escape at byte 1"),
    ("\"\\udc00\\ud800\"", "lone surrogate"),
    ("\"\\ud800\\u0041\"", "lone surrogate"), ("\"a\nb\"", "control"), ("\"a\u{1f}\"", "control"),
    ("{a:1}", "a key or '}'"), ("{1:1}", "a key or '}'"), ("{\"a\":1,\"a\":2}", "duplicate key \"a\" at byte 7"),
    ("{\"a\":1,\"\\u0061\":2}", "duplicate key \"a\""), ("{\"a\" 1}", "':'"), ("[1 2]", "',' or ']'"),
    ("{\"a\":1 \"b\":2}", "',' or '}'"),
    ("[1}", "',' or ']'"), ("{\"a\":1]", "',' or '}'"), ("]", "a JSON value"), ("[,1]", "found ','"),
    ("{,}", "a key or '}'"),
    (String(repeating: "1", count: 33), "number of 33 characters"), ("\u{FEFF}{}", "byte order mark"),
  ]

  @Test(arguments: refused)
  func refuses(text: String, message: String) {
    let error = #expect(throws: BessemerError.self) { try JSON.parse(text) }
    #expect(error?.code == .json)
    #expect(error?.message.contains(message) == true, "\(error?.message ?? "")")
  }

  @Test(
    arguments: [
      [0x80], [0xC0, 0xAF], [0xC1, 0x80], [0xE0, 0x80, 0x80], [0xED, 0xA0, 0x80], [0xF0, 0x80, 0x80, 0x80],
      [0xF4, 0x90, 0x80, 0x80], [0xF5, 0x80, 0x80, 0x80], [0xFF], [0xE2, 0x82], [0xF0, 0x9F, 0x98], [0xC3],
    ] as [[UInt8]])
  func refusesInvalidUTF8(bytes: [UInt8]) {
    for padding in 0..<9 {
      let text = [0x22] + [UInt8](repeating: 0x61, count: padding) + bytes
      for tail in [[0x22], [], [0x61, 0x22]] as [[UInt8]] {
        #expect(throws: BessemerError.self) { try JSON.parse(text + tail) }
      }
    }
  }

  @Test func limits() throws {
    let deep = String(repeating: "[", count: 64) + String(repeating: "]", count: 64)
    #expect(try JSON.parse(deep).count == 1)
    func code(_ text: String, _ limits: JSON.Limits = JSON.Limits()) -> ErrorCode? {
      do {
        _ = try JSON.parse(text, limits: limits)
        return nil
      } catch { return (error as? BessemerError)?.code }
    }
    #expect(code("[" + deep + "]") == .limit)
    #expect(code(String(repeating: "[", count: 1_000_000)) == .limit)
    #expect(code("[1,2,3]", JSON.Limits(nodeCount: 3)) == .limit)
    #expect(code("\"abcd\"", JSON.Limits(stringByteCount: 3)) == .limit)
    #expect(code("[1]", JSON.Limits(byteCount: 2)) == .limit)
    #expect(code("\"" + String(repeating: "\\", count: 99_999)) == .json)
    #expect(code(String(repeating: "1", count: 1_000_000)) == .json)
  }

  @Test func numbers() throws {
    let list = try JSON.parse("[64, 64.0, 6.4e1, 64.5, 1e30, 18446744073709551615, 18446744073709551616, -0, 0.1]")
    let all = Array(list.elements)
    #expect(all.map(\.int) == [64, nil, nil, nil, nil, nil, nil, nil, nil])
    #expect(all.map(\.integralInt) == [64, 64, 64, nil, nil, nil, nil, 0, nil])
    #expect(all[5].uint64 == .max && all[6].uint64 == nil && all[6].double == 18446744073709551616)
    #expect(all[8].double == 0.1 && all[7].double?.sign == .minus)
    #expect(list[3]?.double == 64.5 && list[9] == nil)
  }

  @Test func manyKeys() throws {
    var writer = JSONWriter(.compact)
    writer.object { json in for n in 0..<5000 { json.member(n % 3 == 0 ? "k\u{e9}\n\(n)" : "key \(n)", n) } }
    let json = try JSON.parse(writer.text)
    #expect(json.count == 5000)
    for n in stride(from: 0, to: 5000, by: 7) { #expect(json[n % 3 == 0 ? "k\u{e9}\n\(n)" : "key \(n)"]?.int == n) }
    #expect(json["absent"] == nil)
    let twice = writer.text.dropLast() + ",\"k\\u00e9\\u000a4998\":0}"
    #expect(throws: BessemerError.self) { try JSON.parse(String(twice)) }
  }

  @Test func pathsInMessages() throws {
    let json = try JSON.parse("{\"a\":{\"b\":[0,{\"c\":\"x\"}]},\"n\":null}")
    let c = try #require(json["a"]?["b"]?[1]?["c"])
    #expect(c.path == "a.b[1].c")
    let error = #expect(throws: BessemerError.self) { try c.asInt() }
    #expect(error?.message == "\"a.b[1].c\" is the string \"x\" at byte 18, expected an integer")
    #expect(try json.optional("n") == nil && json["n"]?.isNull == true)
    #expect(throws: BessemerError.self) { try json.required("zz") }
  }

  @Test func pretty() {
    var json = JSONWriter()
    json.object { json in
      json.member("a", 1)
      json.array("shape", [2, 3])
      json.object("empty") { _ in }
      json.array("rows") { json in
        json.value(true)
        json.object { $0.null("x") }
      }
    }
    #expect(
      json.text == """
        {
          "a": 1,
          "shape": [2, 3],
          "empty": {},
          "rows": [
            true,
            {
              "x": null
            }
          ]
        }
        """)
  }
}

@Suite struct JSONDecodingTests {
  struct Config: Decodable, Equatable {
    enum Activation: String, Decodable { case silu, gelu }
    struct Rope: Decodable, Equatable { var theta: Double }
    var hidden: Int
    var head: Int?
    var eps: Float = 0
    var act: Activation
    var rope: Rope?
    var sizes: [Int]?
    var map: [String: Bool]?
  }

  @Test func decodes() throws {
    let text = """
      {"hidden": 64.0, "head": null, "eps": 1e-5, "act": "silu", "rope": {"theta": 10000},
      "sizes": [1, 2], "map": {"x": true}, "zz": 1}
      """
    let config: Config = try JSON.parse(text).decode()
    #expect(
      config
        == Config(hidden: 64, eps: 1e-5, act: .silu, rope: Config.Rope(theta: 10000), sizes: [1, 2], map: ["x": true]))
  }

  @Test(arguments: [
    ("{\"eps\":1,\"act\":\"silu\"}", "\"hidden\" is missing"),
    (
      "{\"hidden\":\"64\",\"eps\":1,\"act\":\"silu\"}",
      "\"hidden\" is the string \"64\" at byte 10, expected an integer"
    ),
    ("{\"hidden\":64.5,\"eps\":1,\"act\":\"silu\"}", "\"hidden\" is the number 64.5"),
    ("{\"hidden\":9223372036854775808,\"eps\":1,\"act\":\"silu\"}", "\"hidden\" is 9223372036854775808"),
    ("{\"hidden\":null,\"eps\":1,\"act\":\"silu\"}", "\"hidden\" is null"),
    ("{\"hidden\":true,\"eps\":1,\"act\":\"silu\"}", "\"hidden\" is true"),
    ("{\"hidden\":1,\"eps\":1e60,\"act\":\"silu\"}", "\"eps\" is the number 1e+60"),
    ("{\"hidden\":1,\"eps\":1,\"act\":\"relu\"}", "\"act\" is the string \"relu\""),
    ("{\"hidden\":1,\"eps\":1,\"act\":\"silu\",\"rope\":{}}", "\"rope.theta\" is missing"),
    ("{\"hidden\":1,\"eps\":1,\"act\":\"silu\",\"sizes\":[1,\"2\"]}", "\"sizes[1]\" is the string"),
    ("[]", "the JSON text is an array of 0 at byte 0, expected an object"),
  ])
  func explains(text: String, message: String) throws {
    let json = try JSON.parse(text)
    let error = #expect(throws: BessemerError.self) { try json.decode(Config.self, code: .config) }
    #expect(error?.code == .config)
    #expect(error?.message.contains(message) == true, "\(error?.message ?? "")")
  }
}
