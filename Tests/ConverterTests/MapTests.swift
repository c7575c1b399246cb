import TestSupport
import Tensors
import Testing
import YAML

@testable import Converter

/// Maps of `fixtures/maps`: tensors before, rules, and tensors or problems after.
@Suite struct MapTests {
  private static func fixture(_ name: String) throws -> [String: YAML] {
    let root = try YAML.read(Fixtures.folder + "/maps/" + name + ".yaml")
    return Dictionary(uniqueKeysWithValues: try root.asMapping().map { ($0.key, $0.value) })
  }

  /// A tensor of a type like `f32[2,3]`, without bytes.
  private static func entry(_ name: String, _ type: String) throws -> TensorStore.Entry {
    let parts = type.dropLast().split(separator: "[", omittingEmptySubsequences: false)
    let dtype = try #require(DType(rawValue: String(parts[0])))
    let shape = parts[1].split(separator: ",").compactMap { Int($0) }
    return TensorStore.Entry(TensorName(name), dtype, shape: shape, file: "") { Bytes([]) }
  }

  @Test(arguments: ["names", "joins", "parts", "problems"]) func rulesDoWhatTheySay(_ name: String) throws {
    let fixture = try MapTests.fixture(name)
    var store = TensorStore()
    for (name, _, type) in try #require(fixture["tensors"]).asMapping() {
      try store.append(MapTests.entry(name, type.asString()))
    }
    var engine = MapEngine(store)
    try engine.apply(MapFile.rules(try #require(fixture["rules"])))
    let problems = try fixture["problems"]?.asSequence().map { try $0.asString() } ?? []
    #expect(engine.problems == problems, "\(engine.problems.joined(separator: "\n"))")
    if let result = try fixture["result"]?.asSequence().map({ try $0.asString() }) {
      let lines = engine.result.map { item in
        "\(item.name) \(item.expression.type) < "
          + item.expression.sources.map(\.name.string).joined(separator: " ")
      }
      #expect(lines == result)
    }
    if try fixture["strict"]?.asBool() ?? false {
      #expect(engine.unclaimedNames(store).isEmpty)
    }
  }

  @Test func malformedFilesAreRefused() throws {
    for element in try #require(MapTests.fixture("malformed")["cases"]).asSequence() {
      let members = Dictionary(uniqueKeysWithValues: try element.asMapping().map { ($0.key, $0.value) })
      let (text, words) = (try #require(members["text"]), try #require(members["says"]).asString())
      guard case .scalar(let source, _) = text.content else { throw text.mismatch("a text") }
      do {
        _ = try MapFile.rules(YAML.parse(Bytes(source.utf8)))
        Issue.record("\(source) is read")
      } catch let error as BessemerError {
        #expect(error.description.contains(words), "\(source): \(error)")
        #expect([.yaml, .weightMap].contains(error.code), "\(source): \(error)")
      }
    }
  }

  @Test func tensorsThatNoRuleNamesAreKnown() throws {
    var store = TensorStore()
    for name in ["a", "b", "c", "d"] { try store.append(MapTests.entry(name, "f32[2]")) }
    var engine = MapEngine(store)
    try engine.apply([MapRule(.rename, ["a"], to: ["z"]), MapRule(.drop, ["b"]), MapRule(.rename, ["z"])])
    #expect(engine.unclaimedNames(store) == ["c", "d"] && engine.result.map(\.name) == ["z", "c", "d"])
  }

  @Test func patternsAreBounded() throws {
    let name = TensorName(String(repeating: "a.", count: 400) + "!")
    #expect(try MapPattern("*a*a*a*a*a*a*a*a*{x}*{y}b").match(name) == nil)
    #expect(code { _ = try MapPattern("/(a|a)*(a|a|.)*b$/").match(name) } == .limit)
    #expect(try MapPattern("{x}.{x}.*").match("b.b.c")?.fields == ["x": "b"])
    #expect(try MapPattern("{x}.{x}.*").match("b.c.c") == nil)
    #expect(try MapPattern(#"a\*\{b\?"#).match("a*{b?") != nil)
    #expect(try MapPattern("a?c").match("aéc")?.texts == ["é"])
  }

  @Test(arguments: [2, 3, 4]) func hostileTextEndsSoon(_ kind: Int) throws {
    let text: String
    switch kind {
    case 2: text = String(repeating: "[", count: 100_000)
    case 3: text = String(repeating: "- ", count: 100_000) + "a"
    default: text = String(repeating: "? ", count: 50_000)
    }
    let clock = ContinuousClock()
    let start = clock.now
    let code = code { _ = try YAML.parse(Bytes(text.utf8)) }
    #expect(code == .limit || code == .yaml)
    #expect(clock.now - start < .seconds(5))
  }

  @Test func typesByPattern() throws {
    var types = TypeRules()
    for text in ["bf16", "*.bias=f32", "/^q\\./=fp16", "x=y=int8"] { try types.add(text) }
    func target(_ name: TensorName, _ dtype: DType) throws -> TypeRules.Target? {
      try types.target(name, TensorType(dtype, shape: [2])).target
    }
    #expect(try target("a.weight", .float32) == .type(.bfloat16))
    #expect(try target("a.bias", .float16) == .type(.float32))
    #expect(try target("q.scale", .float8e4m3fn) == .type(.float16))
    #expect(try target("a.weight", .float8e4m3fn) == nil)
    #expect(try target("a.ids", .int64) == nil && target("a.bias", .int64) == nil)
    #expect(try target("x=y", .int64) == .type(.int8))
    var blocks = TypeRules()
    for text in ["Q4_K", "*.bias=q8_0"] { try blocks.add(text) }
    #expect(try blocks.target("w", TensorType(.bfloat16, shape: [2, 256])).target == .blocks(.q4k))
    #expect(try blocks.target("w", TensorType(.bfloat16, shape: [256])).target == nil)
    #expect(try blocks.target("a.bias", TensorType(.bfloat16, shape: [256])).target == .blocks(.q80))
    #expect(try blocks.target("a.bias", TensorType(.int64, shape: [256])).target == nil)
    for text in ["f32", "a=nonsense", "nonsense", "a=bool", "a=i4"] {
      #expect(code { try types.add(text) } != nil, "\(text)")
    }
  }
}
