import TestSupport
import Tensors
import Testing

@testable import Tokenizers

@Suite struct ChatTemplateTests {
  /// Templates and messages with what transformers makes of them (`fixtures/templates/make.py`).
  @Test func promptsAreThoseOfTransformers() throws {
    let json = try Fixtures.json("templates/cases.json")
    let templates = try json.required("templates").asArray().map { try $0.asString() }
    var rendered = 0
    for item in try json.required("cases").asArray() {
      let source = templates[try item.required("template").asInt()]
      let expected = try item.optional("text")?.asString()
      let result = Result {
        try ChatTemplate(source).render(
          item.required("messages"), tools: item.optional("tools"),
          addGenerationPrompt: item.required("add_generation_prompt").asBool(),
          tokens: ["bos_token": "<s>", "eos_token": "</s>"], options: item.optional("options"),
          now: TemplateDate(year: 2025, month: 3, day: 7, hour: 15, minute: 4, second: 5))
      }
      switch result {
      case .success(let text):
        // Not ==, which takes different spellings of a character as equal.
        #expect(expected.map { Array($0.utf8) } == Array(text.utf8), "\(source)\n\(text)")
        rendered += 1
      case .failure(let error):
        #expect(error is BessemerError && expected == nil, "\(error)\n\(source)")
      }
    }
    #expect(rendered >= 40)
  }

  private func render(_ source: String) throws -> String { try ChatTemplate(source).render(JSON.parse("[]")) }

  private func code(_ source: String) -> ErrorCode? {
    do {
      _ = try render(source)
      return nil
    } catch { return (error as? BessemerError)?.code }
  }

  @Test func hostileTemplatesAreStopped() {
    let tens = String(repeating: "{% for i in range(1000) %}", count: 3)
    let ends = String(repeating: "{% endfor %}", count: 3)
    #expect(code(tens + "x" + ends) == .limit)
    #expect(code("{% for i in range(100) %}{% set ns = ns %}{% endfor %}{{ 'x' * 999999999999 }}") == .limit)
    #expect(code("{{ range(100001) }}") == .limit)
    #expect(
      code("{% set ns = namespace(t='x') %}{% for i in range(99) %}{% set ns.t = ns.t + ns.t %}{% endfor %}") == .limit)
    #expect(code("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}") == .limit)
    let deepen = "{% set ns = namespace(l=[]) %}{% for i in range(99999) %}{% set ns.l = LIST %}{% endfor %}{{ ns.l }}"
    for list in ["[ns.l]", "{'k': ns.l}", "[ns.l, ns.l]", "namespace(p=ns.l)", "ns", "[ns]"] {
      #expect(code(deepen.replacing("LIST", with: list)) == .limit, "\(list)")
    }
    // A chain that grows at its end, and macros that hold each other.
    let chain =
      "{% set h = namespace(t=none) %}{% set h.t = namespace() %}{% set head = h.t %}"
      + "{% for i in range(90000) %}{% set t = h.t %}{% set t.n = namespace() %}{% set h.t = t.n %}{% endfor %}{{ h }}"
    #expect(code(chain) == nil)
    let macros =
      "{% set ns = namespace(m=none) %}{% for i in range(90000) %}{% for x in [ns.m] %}"
      + "{% macro m() %}{{ x }}{% endmacro %}{% set ns.m = m %}{% endfor %}{% endfor %}"
    #expect(code(macros) == nil)
    #expect(code(String(repeating: "{% if 1 %}", count: 100)) == .template)
    #expect(code("{{ " + String(repeating: "(", count: 5000) + " }}") == .template)
    #expect(code("{{ " + String(repeating: "[", count: 500) + String(repeating: "]", count: 500) + " }}") == .template)
    #expect(code("{{ 1" + String(repeating: " + 1", count: 1500) + " }}") == .limit)
    #expect(code("{{ 1" + String(repeating: " + 1", count: 5000) + " }}") == .template)
    #expect(code("{{ 9223372036854775807 + 1 }}") == .template)
    #expect(code("{{ (-9223372036854775807 - 1) // -1 }}") == .template)
    #expect(code("{{ 'abc'[:: -9223372036854775807 - 1] }}") == .template)
    #expect(code("{{ [1, 2, 3][9223372036854775807:] }}{{ [1][-9223372036854775807:] }}") == nil)
    #expect(code("{{ 99999999999999999999 }}") == .template)
    #expect(code(String(repeating: "x", count: 1 << 20 + 1)) == .limit)
    #expect(code("{% include 'other' %}") == .unsupportedFeature)
    #expect(code("{{ ''.__class__.__mro__ }}") == .template)
  }

  @Test func datesAreWritten() throws {
    let date = TemplateDate(year: 2024, month: 2, day: 29, hour: 0, minute: 5, second: 9)
    #expect(try date.formatted("%Y-%m-%d %H:%M:%S %a %b %I%p %y %%") == "2024-02-29 00:05:09 Thu Feb 12AM 24 %")
    #expect(throws: BessemerError.self) { try date.formatted("%Q") }
    #expect(try render("{{ strftime_now is defined }}") == "False")
  }
}
