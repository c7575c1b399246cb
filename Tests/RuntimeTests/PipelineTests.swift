import IR
import TestSupport
import Tensors
import Testing

@testable import Runtime

@Suite struct PipelineTests {
  @Test(arguments: [TinyModel.llama, .glm4])
  func batchesGenerateWhatSinglePromptsDo(_ kind: TinyModel) throws {
    let generator = try Generator(Session(SessionTests.model(kind)))
    let prompts: [[Int32]] = [[3, 1, 4], [5], [9, 2, 6, 5, 3]]
    let together = try generator.generate(prompts, count: 8)
    #expect(generator.statistics.promptTokens == 9)
    #expect(generator.statistics.newTokens == 24)
    for (prompt, tokens) in zip(prompts, together) {
      #expect(try generator.generate([prompt], count: 8) == [tokens])
    }
  }

  @Test func stopsAreObeyed() throws {
    let generator = try Generator(Session(SessionTests.model()))
    let tokens = try generator.generate([[3, 1, 4]], count: 6)[0]
    #expect(tokens.count == 6)
    let stop = tokens[3]
    let expected = Array(tokens.prefix { $0 != stop })
    #expect(try generator.generate([[3, 1, 4]], count: 6, stop: [stop])[0] == expected)
    var seen: [Int] = []
    let cut = try generator.generate([[3, 1, 4]], count: 6) { _, token in
      seen.append(token)
      return seen.count < 2
    }
    #expect(cut == [Array(tokens.prefix(2))])
    #expect(try generator.generate([[3]], count: 0) == [[]])
    #expect(throws: BessemerError.self) { try generator.generate([[]], count: 1) }
    #expect(throws: BessemerError.self) { try generator.generate([], count: 1) }
    #expect(throws: BessemerError.self) { try generator.generate([[3]], count: 40) }
    #expect(throws: BessemerError.self) { try Generator(Session(SessionTests.model(.bert))) }
  }

  @Test func samplingFollowsTheSeedAndTheOptions() {
    func next(_ sampler: inout Sampler, _ history: Set<Int>) -> Int {
      let scores: [Float] = [0, 2, 1, 2, -1]
      return scores.withUnsafeBufferPointer { sampler.next($0, history: history) }
    }
    var greedy = Sampler(SamplingOptions())
    #expect(next(&greedy, []) == 1)
    func drawn(_ change: (inout SamplingOptions) -> Void) -> Set<Int> {
      var options = SamplingOptions()
      options.temperature = 1
      options.seed = 3
      change(&options)
      var sampler = Sampler(options)
      return Set((0..<400).map { _ in next(&sampler, []) })
    }
    #expect(drawn { _ in } == [0, 1, 2, 3, 4])
    #expect(drawn { $0.topK = 1 } == [1, 3])
    #expect(drawn { $0.topK = 3 } == [1, 2, 3])
    #expect(drawn { $0.topK = 2 } == [1, 3])
    #expect(drawn { $0.topP = 0.5 } == [1, 3])
    #expect(drawn { $0.minP = 0.3 } == [1, 2, 3])
    #expect(drawn { $0.temperature = 0.01 } == [1, 3])
    var options = SamplingOptions()
    options.repetitionPenalty = 3
    var penalized = Sampler(options)
    #expect(next(&penalized, [1, 3]) == 2)
    options.temperature = 1
    var (a, b) = (Sampler(options, stream: 1), Sampler(options, stream: 1))
    #expect((0..<50).map { _ in next(&a, []) } == (0..<50).map { _ in next(&b, []) })
    var c = Sampler(options, stream: 2)
    #expect((0..<50).map { _ in next(&a, []) } != (0..<50).map { _ in next(&c, []) })
    // One stream is not another some places later.
    let streams = [1, 2].map { stream in
      var sampler = Sampler(options, stream: stream)
      return (0..<50).map { _ in next(&sampler, []) }
    }
    #expect(!(0..<9).contains { streams[0].dropFirst($0).elementsEqual(streams[1].dropLast($0)) })
  }

  /// What takes part and how likely it is, as transformers has it (`fixtures/sampling/make.py`).
  @Test func distributionsAreThoseOfTransformers() throws {
    for (number, item) in try Fixtures.json("sampling/cases.json").asArray().enumerated() {
      var options = SamplingOptions()
      options.repetitionPenalty = try item.required("repetition_penalty").asDouble()
      options.temperature = try item.required("temperature").asDouble()
      options.topK = try item.required("top_k").asInt()
      options.topP = try item.required("top_p").asDouble()
      options.minP = try item.required("min_p").asDouble()
      var sampler = Sampler(options)
      let result = sampler.distribution(
        try item.required("scores").asArray().map { Float(try $0.asDouble()) },
        history: Set(try item.required("history").asArray().map { try $0.asInt() }))
      let expected = try item.required("probabilities").asObject().map { (Int($0)!, try $1.asDouble()) }
      let own = Dictionary(uniqueKeysWithValues: result.map { ($0.id, $0.probability) })
      // Tokens of no weight at all may be missing on either side.
      let kept = Set(own.filter { $0.value > 1e-30 }.keys)
      #expect(kept == Set(expected.filter { $0.1 > 1e-30 }.map(\.0)), "case \(number)")
      for (id, probability) in expected {
        #expect(abs((own[id] ?? 0) - probability) <= 1e-5 * probability + 1e-12, "case \(number), token \(id)")
      }
    }
  }

  @Test func poolingModes() throws {
    let model = try SessionTests.model(.bert)
    func vector(_ modes: [Pooling.Mode], _ text: [Int32]) throws -> [Float] {
      try Embedder(Session(model), pooling: Pooling(modes: modes, normalizes: false)).embed([text])[0]
    }
    func near(_ a: [Float], _ b: [Float]) -> Bool { a.count == b.count && zip(a, b).allSatisfy { abs($0 - $1) < 1e-5 } }
    let text: [Int32] = [3, 1, 4, 1]
    let each = try Pooling.Mode.allCases.map { try vector([$0], text) }
    #expect(Set(each.map(\.description)).count == each.count)
    #expect(try near(vector(Pooling.Mode.allCases, text), each.flatMap { $0 }))
    #expect(try near(vector([.meanOfSquareRoot], text), vector([.mean], text).map { 2 * $0 }))
    for mode in Pooling.Mode.allCases { #expect(try near(vector([mode], [5]), vector([.mean], [5]))) }
  }

  @Test func embeddingsDoNotDependOnTheBatch() throws {
    let model = try SessionTests.model(.bert)
    for mode in Pooling.Mode.allCases {
      let embedder = try Embedder(Session(model), pooling: Pooling(modes: [mode]))
      let texts: [[Int32]] = [[3, 1, 4], [1, 5, 9, 2, 6], [5]]
      let together = try embedder.embed(texts)
      for (text, vector) in zip(texts, together) {
        let alone = try embedder.embed([text])[0]
        #expect(zip(alone, vector).allSatisfy { abs($0 - $1) < 1e-5 }, "\(mode)")
        #expect(abs(vector.reduce(0) { $0 + $1 * $1 } - 1) < 1e-5)
      }
      #expect(throws: BessemerError.self) { try embedder.embed([[]]) }
    }
    #expect(throws: BessemerError.self) { try Embedder(Session(SessionTests.model(.llama)), pooling: Pooling()) }
  }
}
