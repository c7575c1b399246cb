import Architectures
import IR
import Passes
import TestSupport
import Tensors
import Testing

@testable import Runtime

@Suite struct SessionTests {
  /// A tiny model with random weights, fused.
  static func model(
    _ kind: TinyModel = .llama, threads: Int = 1, activation: DType = .float32, seed: UInt64 = 1, packLimit: Int = .max,
    compute: RunOptions.Compute = .float32
  ) throws -> Model {
    let weights = try kind.weights(seed: seed)
    var graph = try buildGraph(config: kind.config(), weights: weights, options: BuildOptions(activation: activation))
    _ = try PassRunner(defaultPasses()).run(on: &graph)
    return Model(graph, weights: weights, options: RunOptions(threads: threads, compute: compute, packLimit: packLimit))
  }

  private func ids(_ rows: [[Int64]]) -> Tensor { Tensor(rows.flatMap { $0 }, shape: [rows.count, rows[0].count]) }

  private func logits(_ session: Session, _ inputs: [String: Tensor]) throws -> Tensor {
    try #require(try session.run(inputs)["logits"])
  }

  /// The largest difference as a part of the largest value.
  private func distance(_ a: [Double], _ b: [Double]) -> Double {
    guard a.count == b.count else { return .infinity }
    return zip(a, b).reduce(0) { max($0, abs($1.0 - $1.1)) } / a.reduce(1e-9) { max($0, abs($1)) }
  }

  private func graph(_ lines: String) throws -> Graph { try Graph(text: "graph \"g\" {\n\(lines)\n}\n") }

  private func session(_ lines: String, capacity: Int = 0) throws -> Session {
    Session(Model(try graph(lines), weights: TensorStore(), options: RunOptions(threads: 1)), capacity: capacity)
  }

  // MARK: States

  @Test(arguments: [TinyModel.llama, .glm4], [DType.float32, .bfloat16])
  func tokenByTokenIsAllAtOnce(_ kind: TinyModel, _ activation: DType) throws {
    let session = Session(try Self.model(kind, activation: activation))
    let tokens: [[Int64]] = [[3, 1, 4, 1, 5, 9, 2, 6, 5, 3], [2, 7, 1, 8, 2, 8, 1, 8, 2, 8]]
    let all = try logits(session, ["input_ids": ids(tokens)]).doubles
    #expect(session.past == 10)
    for chunk in [1, 2, 5] {
      session.reset()
      #expect(session.past == 0)
      var parts = [[Double]](repeating: [], count: 2)
      for start in stride(from: 0, to: 10, by: chunk) {
        let part = try logits(session, ["input_ids": ids(tokens.map { Array($0[start..<start + chunk]) })])
        #expect(part.shape == [2, chunk, 11])
        for b in 0..<2 { parts[b] += part.doubles[b * chunk * 11..<(b + 1) * chunk * 11] }
        #expect(session.past == start + chunk)
      }
      #expect(distance(all, parts[0] + parts[1]) < (activation == .float32 ? 1e-5 : 2e-2), "chunks of \(chunk)")
    }
  }

  @Test func buffersGrowAndKeepTheirEntries() throws {
    let one = Session(try Self.model(), capacity: 64)
    let other = Session(one.model)
    for token: Int64 in 0..<20 {
      let input = ["input_ids": ids([[token % 11]])]
      #expect(try logits(one, input) == logits(other, input), "token \(token)")
    }
    #expect(other.peakByteCount > 0)
  }

  @Test func theBatchChangesAfterAReset() throws {
    let session = Session(try Self.model())
    let single = try logits(session, ["input_ids": ids([[3, 1, 4]])])
    #expect(code { _ = try session.run(["input_ids": ids([[1], [2]])]) } == .modelInput)
    #expect(session.past == 3)
    session.reset()
    let pair = try logits(session, ["input_ids": ids([[3, 1, 4], [1, 5, 9]])])
    #expect(distance(single.doubles, Array(pair.doubles[..<33])) < 1e-6)
    session.reset()
    #expect(try logits(session, ["input_ids": ids([[3, 1, 4]])]) == single)
  }

  @Test func paddingOnTheLeftChangesNothing() throws {
    let session = Session(try Self.model(.glm4))
    let plain = try logits(session, ["input_ids": ids([[3, 1, 4]])]).doubles
    session.reset()
    let padded = try logits(
      session,
      [
        "input_ids": ids([[0, 0, 3, 1, 4], [2, 6, 5, 3, 5]]),
        "attention_mask": ids([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]]),
        "position_ids": ids([[0, 0, 0, 1, 2], [0, 1, 2, 3, 4]]),
      ]
    ).doubles
    #expect(distance(plain, Array(padded[22..<55])) < 1e-6)
  }

  @Test func sessionsOfOneModelAreIndependent() throws {
    let model = try Self.model()
    let (a, b) = (Session(model), Session(model))
    let first = try logits(a, ["input_ids": ids([[3, 1, 4]])])
    #expect(try logits(b, ["input_ids": ids([[3, 1, 4]])]) == first)
    _ = try logits(b, ["input_ids": ids([[9, 9]])])
    let next = try logits(a, ["input_ids": ids([[5]])])
    b.reset()
    _ = try b.run(["input_ids": ids([[3, 1, 4]])])
    #expect(try logits(b, ["input_ids": ids([[5]])]) == next)
    #expect(model.parameterByteCount > 0)
  }

  /// A plan follows the cache's length: as good as a session that makes every plan anew, over growing buffers, steps
  /// of changing length, padding and resets.
  @Test(arguments: [TinyModel.llama, .glm4]) func plansFollowTheCache(_ kind: TinyModel) throws {
    let model = try Self.model(kind)
    let following = Session(model)
    for round in 0..<2 {
      following.reset()
      var history: [[Int64]] = [[], []]
      for (step, count) in [3, 1, 1, 1, 2, 1, 2, 1, 1, 1, 1, 1, 1, 1, 1, 3, 1].enumerated() {
        let fresh = (0..<2).map { b in (0..<count).map { k in Int64((step * 5 + k * 3 + b * 7 + round) % 11) } }
        for b in 0..<2 { history[b] += fresh[b] }
        let total = history[0].count
        let mask = [[0, 1, 1] + [Int64](repeating: 1, count: total - 3), [Int64](repeating: 1, count: total)]
        let part = try logits(following, ["input_ids": ids(fresh), "attention_mask": ids(mask)]).doubles
        let whole = try logits(Session(model), ["input_ids": ids(history), "attention_mask": ids(mask)]).doubles
        let width = whole.count / 2 / total
        for b in 0..<2 {
          let expected = Array(whole[(b * total + total - count) * width..<(b + 1) * total * width])
          let own = Array(part[b * count * width..<(b + 1) * count * width])
          #expect(distance(expected, own) < 1e-5, "step \(step), sequence \(b)")
        }
      }
    }
  }

  /// Keys and values lie in bfloat16 when products are computed in it, and give what exact ones give but for rounding.
  @Test(arguments: [TinyModel.llama, .glm4]) func cachesAreAsNarrowAsTheProducts(_ kind: TinyModel) throws {
    let wide = Session(try Self.model(kind))
    let narrow = Session(try Self.model(kind, compute: .bfloat16))
    let capacity = 64
    for session in [wide, narrow] { session.reserve(capacity) }
    var largest = 0.0
    for chunk: [Int64] in [[3, 1, 4, 1, 5], [9], [2, 6], [5], [3]] {
      let input = ["input_ids": ids([chunk])]
      let reader = narrow.past > 0 ? try logits(Session(reading: narrow), input).doubles : nil
      let (a, b) = (try logits(wide, input).doubles, try logits(narrow, input).doubles)
      largest = max(largest, distance(a, b))
      if let reader { #expect(distance(b, reader) < 2e-2) }
    }
    #expect(largest > 1e-4 && largest < 3e-2, "\(largest)")
    let caches = narrow.model.graph.states.filter { narrow.model.graph.isCache($0) }
    #expect(caches.count == narrow.model.graph.states.count && !caches.isEmpty)
    #expect(narrow.peakByteCount < wide.peakByteCount)
  }

  @Test func aFailedRunChangesNoState() throws {
    let session = Session(try Self.model())
    let clean = Session(session.model)
    for session in [session, clean] { _ = try session.run(["input_ids": ids([[3, 1, 4]])]) }
    #expect(code { _ = try session.run(["input_ids": ids([[11]])]) } == .modelInput)
    #expect(code { _ = try session.run(["input_ids": ids([[-12]])]) } == .modelInput)
    #expect(session.past == 3)
    #expect(try logits(session, ["input_ids": ids([[5]])]) == logits(clean, ["input_ids": ids([[5]])]))
  }

  @Test func statesThatAreReplaced() throws {
    let session = try session(
      """
        input %0 "x" : f32[1,n]
        state %1 "window" : f32[1,m] {axis=1, capacity=8}
        state %2 "all" : f32[1,k] {axis=1, capacity=8}
        %3 = concat(%1, %0) {axis=1} : f32[1,m+n]
        %4 = concat(%2, %0) {axis=1} : f32[1,k+n]
        %5 = slice(%3) {axis=1, start=-2} : f32[1,2]
        update "window" = %5
        update "all" = %4
        output "w" = %3
        output "a" = %4
      """)
    func run(_ values: [Float]) throws -> [[Float]] {
      let outputs = try session.run(["x": Tensor(values, shape: [1, values.count])])
      return [outputs["w"]!.floats, outputs["a"]!.floats]
    }
    for _ in 0..<2 {
      #expect(try run([1, 2, 3]) == [[1, 2, 3], [1, 2, 3]])
      #expect(try run([4]) == [[2, 3, 4], [1, 2, 3, 4]])
      #expect(try run([5, 6]) == [[3, 4, 5, 6], [1, 2, 3, 4, 5, 6]])
      session.reset()
    }
  }

  @Test func statesThatContradictOneAnother() throws {
    let shared = try session(
      """
        input %0 "x" : f32[1,n]
        state %1 "a" : f32[1,m] {axis=1, capacity=8}
        state %2 "b" : f32[1,m] {axis=1, capacity=8}
        %3 = concat(%1, %0) {axis=1} : f32[1,m+n]
        %4 = concat(%2, %0, %0) {axis=1} : f32[1,m+n+n]
        update "a" = %3
        update "b" = %4
        output "y" = %4
      """)
    _ = try shared.run(["x": Tensor([1] as [Float], shape: [1, 1])])
    #expect(code { _ = try shared.run(["x": Tensor([1] as [Float], shape: [1, 1])]) } == .graph)
    let fixed = try session(
      """
        input %0 "x" : f32[2]
        state %1 "a" : f32[2] {axis=0, capacity=2}
        %2 = add(%1, %0) : f32[2]
        update "a" = %2
        output "y" = %2
      """)
    #expect(code { _ = try fixed.run(["x": Tensor([1, 2] as [Float], shape: [2])]) } == .graph)
  }

  // MARK: Plans, memory, threads

  @Test func plansOfManySizesGiveTheSameAgain() throws {
    let session = Session(try Self.model(.bert))
    let sizes = [3, 7, 1, 5, 9, 2, 3, 7, 8, 1]
    var known: [Int: [String: Tensor]] = [:]
    for size in sizes {
      let rows = (0..<2).map { b in (0..<size).map { Int64(($0 * 7 + b) % 11) } }
      let outputs = try session.run(["input_ids": ids(rows)])
      #expect(Set(outputs.keys) == ["last_hidden_state", "pooler_output"])
      if let earlier = known[size] { #expect(outputs == earlier, "\(size) tokens") }
      known[size] = outputs
      let fresh = Session(session.model)
      #expect(try fresh.run(["input_ids": ids(rows)]) == outputs, "\(size) tokens")
    }
    #expect(
      try session.run(["input_ids": ids([[1, 2]])], outputs: ["pooler_output"]).keys.sorted() == ["pooler_output"])
  }

  @Test(arguments: TinyModel.allCases, [RunOptions.Compute.float32, .bfloat16])
  func threadsDoNotChangeABit(_ kind: TinyModel, _ compute: RunOptions.Compute) throws {
    let rows = (0..<3).map { b in (0..<13).map { Int64(($0 * 5 + b) % 11) } }
    let results = try [1, 2, 3].map { threads in
      try Session(Self.model(kind, threads: threads, compute: compute)).run(["input_ids": ids(rows)])
    }
    #expect(results[0] == results[1])
    #expect(results[0] == results[2])
  }

  @Test func unpackedWeightsGiveTheSame() throws {
    let input = ["input_ids": ids([[3, 1, 4, 1, 5]])]
    let packed = try logits(Session(Self.model()), input)
    let plain = try logits(Session(Self.model(packLimit: 0)), input)
    #expect(distance(packed.doubles, plain.doubles) < 1e-5)
    let rounded = try logits(Session(Self.model(compute: .bfloat16)), input)
    #expect(distance(packed.doubles, rounded.doubles) < 5e-2)
  }

  @Test func everyStepIsTimed() throws {
    let session = Session(try Self.model())
    var names: Set<String> = []
    session.timing = { name, time in
      names.insert(name)
      #expect(time >= .zero)
    }
    let timed = try logits(session, ["input_ids": ids([[3, 1]])])
    #expect(names.isSuperset(of: ["attention", "linear", "rms_norm", "rotary_embedding", "swiglu"]))
    session.timing = nil
    session.reset()
    #expect(try logits(session, ["input_ids": ids([[3, 1]])]) == timed)
  }

  // MARK: Errors

  @Test func wrongInputs() throws {
    let session = Session(try Self.model())
    let good = ids([[3, 1, 4]])
    let narrow = try Tensor(.int32, shape: [1, 2], integers: [1, 2])
    let cases: [[String: Tensor]] = [
      [:], ["ids": good], ["input_ids": good, "logits": good], ["input_ids": good.reshaped([3])],
      ["input_ids": Tensor([1, 2] as [Float], shape: [1, 2])], ["input_ids": narrow],
      ["input_ids": good, "position_ids": ids([[0, 1]])], ["input_ids": good, "attention_mask": ids([[1, 1, 1, 1]])],
      ["input_ids": good, "attention_mask": ids([[1, 1, 1], [1, 1, 1]])], ["input_ids": ids([[11]])],
      ["input_ids": ids([[-12]])],
      ["input_ids": ids([[Int64.max]])], ["input_ids": ids([[Int64.min]])],
      ["input_ids": ids([(0..<33).map { $0 % 11 }])],
    ]
    for (number, inputs) in cases.enumerated() {
      #expect(code { _ = try session.run(inputs) } == .modelInput, "case \(number)")
      #expect(session.past == 0)
    }
    #expect(try logits(session, ["input_ids": good]).shape == [1, 3, 11])
    _ = try session.run(["input_ids": ids([(0..<29).map { $0 % 11 }])])
    #expect(code { _ = try session.run(["input_ids": ids([[1]])]) } == .modelInput)
  }

  @Test func emptySequencesRun() throws {
    let session = Session(try Self.model())
    #expect(try logits(session, ["input_ids": Tensor([Int64](), shape: [1, 0])]).shape == [1, 0, 11])
    #expect(try logits(session, ["input_ids": Tensor([Int64](), shape: [0, 3])]).shape == [0, 3, 11])
  }

  @Test func missingWeightsAreAnError() throws {
    let whole = try Self.model()
    let model = Model(whole.graph, weights: TensorStore(), options: RunOptions(threads: 1))
    #expect(code { _ = try Session(model).run(["input_ids": ids([[1]])]) } == .weights)
  }

  @Test func typesBelowAByteRunByTheirPlainMeaning() throws {
    let graph = try graph(
      """
        input %0 "ids" : i64[n]
        %1 = weight {name="q", dtype="i4", shape=[4,6]} : i4[4,6]
        %2 = weight {name="s", dtype="f32", shape=[4,1]} : f32[4,1]
        %3 = gather(%1, %0) {axis=0} : i4[n,6]
        %4 = transpose(%3) {permutation=[1,0]} : i4[6,n]
        %5 = slice(%4) {axis=0, start=1, end=5, step=2} : i4[2,n]
        %6 = cast(%5) {to="f32"} : f32[2,n]
        output "y" = %6
      """)
    var random = Random(seed: 5)
    var weights = TensorStore()
    try weights.append(
      "q", Tensor(.int4, shape: [4, 6], integers: (0..<24).map { _ in Int64(random.next() % 16) - 8 }))
    try weights.append("s", .random(.float32, shape: [4, 1], using: &random))
    let inputs = ["ids": Tensor([3, 0, 2] as [Int64], shape: [3])]
    let expected = try Interpreter(graph, weight: weights.tensor).run(inputs).outputs
    #expect(try Session(Model(graph, weights: weights, options: RunOptions(threads: 1))).run(inputs) == expected)
  }
}
