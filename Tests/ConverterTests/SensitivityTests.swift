import Foundation
import Quantization
import Runtime
import TestSupport
import Tensors
import Testing
import Validation

@testable import Converter

/// What parts of the small trained model cost, held against packages that have them so.
@Suite struct SensitivityTests: PlanTrials {
  private let scratch = Scratch()

  private func code(_ body: () throws -> Void) -> ErrorCode? {
    do { try body() } catch { return (error as? BessemerError)?.code }
    return nil
  }

  private func measured(_ schemes: [String], _ options: QuantizationOptions? = nil, limit: Int = 1 << 30) throws
    -> Sensitivity
  {
    let text = scratch("text.txt")
    try "the old king had seven sons\n3 1 2 sorted is 1 2 3\n\nwhat is 12 + 30\n".write(
      toFile: text, atomically: true, encoding: .utf8)
    return try SensitivityMeter(
      Self.model, schemes: schemes, options ?? self.options(), text: text, memoryLimit: limit
    ).measure()
  }

  private func json(_ sensitivity: Sensitivity) -> String {
    var json = JSONWriter()
    json.object { json in
      json.member("schema", "bessemer.\(Sensitivity.schema)/1")
      sensitivity.write(&json)
    }
    return json.text
  }

  @Test func measuresWhatEvalMeasures() throws {
    let result = try measured(["w8a8-dynamic", "w4a8-dynamic"])
    #expect(result.sequences == 3 && result.units.count == 32 && result.layers.count == 8)
    let unit = result.units[16]
    #expect(unit.linears.map(\.name) == ["q", "k", "v"].map { "model.layers.0.self_attn.\($0)_proj" })
    var own = options()
    own.scheme = "float"
    own.overrides = try unit.linears.map { (try NamePattern($0.name), unit.scheme) }
    try Quantizer(Self.model, to: scratch("unit"), options: own).write { _, _ in }
    let models = try [Self.model, scratch("unit")].map { try RunnableModel(path: $0, options: .init(threads: 2)) }
    let evaluation = Evaluation(
      models[0].session, try models[0].tokenizer(), begin: try models[0].beginToken, stop: [])
    let agreement = try evaluation.agreement(with: models[1].session, TextFile.lines(scratch("text.txt")))
    #expect(agreement.positions == result.positions)
    let divergence = agreement.summary().divergence.value
    #expect(abs(divergence - unit.divergence) <= 1e-9 * divergence && divergence > 1e-6)
    for unit in result.units {
      let limit = unit.scheme == "w4a8-dynamic" ? 0.05 : 0.001
      for linear in unit.linears {
        #expect(linear.weightError > 1e-6 && linear.weightError < limit, "\(linear)")
        #expect(try #require(linear.outputError) > 1e-6 && linear.outputError! < limit, "\(linear)")
      }
    }
  }

  /// The experts of a layer together, and what else there is, cost what a package costs that has them so.
  @Test(arguments: ["glm4_moe-base", "deepseek_v3-base", "qwen3_moe-base"])
  func measuresExperts(_ name: String) throws {
    let model = Fixtures.folder + "/models/" + name
    let ids = (0..<20).map { ($0 * 7 + 3) % 29 }
    let text = scratch("ids.jsonl")
    try "\(ids)\n".write(toFile: text, atomically: true, encoding: .utf8)
    let result = try SensitivityMeter(model, schemes: ["w8a8-dynamic"], options(), text: text).measure()
    let source = try logits(model, ids)
    for (k, unit) in result.units.enumerated() where unit.linears.count > 3 || k % 3 == 0 {
      var own = options()
      own.scheme = "float"
      own.overrides = try unit.linears.map { (try NamePattern($0.name), unit.scheme) }
      try Quantizer(model, to: scratch("e\(k)"), options: own).write { _, _ in }
      let other = try logits(scratch("e\(k)"), ids)
      let sum = (0..<19).reduce(0.0) { $0 + Scores(source, $1).divergence(of: Scores(other, $1)) }
      #expect(abs(sum / 19 - unit.divergence) <= 1e-6 * unit.divergence, "\(unit.name)")
      #expect(unit.divergence > 0, "\(unit.name)")
    }
    #expect(result.units.contains { $0.linears.count > 3 })
  }

  private func logits(_ path: String, _ ids: [Int]) throws -> Tensor {
    let model = try RunnableModel(path: path, options: .init(threads: 2))
    let input = Tensor(ids.map { Int64($0) }, shape: [1, ids.count])
    return try #require(try model.session.run(["input_ids": input])["logits"])
  }

  /// A part that is quantized alone has the ranges, scales and codes of the package in which nothing else is.
  @Test(arguments: [
    ("w8a8", nil, "minmax"), ("w8a8-dynamic", "iterative", "minmax"), ("w4a16-g32", "awq", "minmax"),
    ("w4a16", nil, "gptq"),
  ]) func measuresWhatCalibrationMakes(_ scheme: String, _ smoothing: String?, _ method: String) throws {
    let data = scratch("data.txt")
    try "three birds sat on a wall\n1 2 3 and 4\nthe king was old\n".write(
      toFile: data, atomically: true, encoding: .utf8)
    let own = options { ($0.smoothing, $0.method, $0.calibration) = (smoothing, method, data) }
    let result = try measured([scheme], own)
    let text = try TextFile.lines(scratch("text.txt"))
    let source = try RunnableModel(path: Self.model, options: .init(threads: 2))
    func divergence(_ modules: Set<String>, _ name: String) throws -> Double {
      let layers = LinearFinder(try Quantizer.model(Self.model).graph).layers()
      let units = layers.map { QuantizationPlan.Unit([$0.module], modules.contains($0.module) ? scheme : "float") }
      let plan = QuantizationPlan(source: result.source, options: own, units: units)
      try Quantizer(Self.model, to: scratch(name), options: own, plan: plan).write { _, _ in }
      let other = try RunnableModel(path: scratch(name), options: .init(threads: 2))
      let evaluation = Evaluation(source.session, try source.tokenizer(), begin: try source.beginToken, stop: [])
      return try evaluation.agreement(with: other.session, text).summary().divergence.value
    }
    for place in [1, 12] {
      let unit = result.units[place]
      let found = try divergence(Set(unit.linears.map(\.name)), "unit\(place)")
      #expect(abs(found - unit.divergence) <= 1e-9 * found && found > 1e-9, "\(unit.name)")
    }
    let layer = result.layers[2]
    let all = result.units.flatMap(\.linears).map(\.name)
    let found = try divergence(Set(all.filter { $0.hasPrefix(layer.name + ".") }), "layer")
    #expect(abs(found - layer.divergence) <= 1e-9 * found)
    let whole = try divergence(Set(all), "whole")
    #expect(abs(whole - result.wholes[0]) <= 1e-9 * whole)
    let plain = try divergence([], "plain")
    #expect(abs(plain - result.prepared[0]) <= 1e-9 * plain && (plain > 0) == (smoothing == "iterative"))
    // Smoothing alone is no part of what a unit costs.
    let plan = try plan(nil, [scheme], own, sensitivity: result)
    #expect(abs(try #require(plan.divergence) - whole) <= 1e-9 * whole)
  }

  /// Statistics of smoothing take the place of data, in plans and measurements; those of ranges do not.
  @Test func takesStatistics() throws {
    let data = scratch("data.txt")
    try "three birds sat on a wall\n1 2 3 and 4\n".write(toFile: data, atomically: true, encoding: .utf8)
    func save(_ scheme: String, _ name: String) throws {
      let all = options {
        ($0.scheme, $0.smoothing, $0.calibration, $0.savesStatistics) = (scheme, "iterative", data, scratch(name))
        ($0.calibrationLimit, $0.calibrationLength) = (100, 64)
      }
      try Quantizer(Self.model, to: scratch(name + ".out"), options: all).write { _, _ in }
    }
    try save("w8a8-dynamic", "s")
    try save("w8a8", "ranges")
    let with = options {
      ($0.smoothing, $0.calibration, $0.calibrationLimit, $0.calibrationLength) = ("iterative", data, 100, 64)
    }
    func saved(_ name: String) -> QuantizationOptions {
      options { ($0.smoothing, $0.statistics) = ("iterative", scratch(name)) }
    }
    let schemes = ["w8a8-dynamic", "w4a8-dynamic"]
    let (a, b) = (try measured(schemes, with), try measured(schemes, saved("s")))
    #expect(json(a) == json(b))
    let plans = try [(with, a), (saved("s"), b)].map { try plan(.bitsPerWeight(8), [], $0, sensitivity: $1).text }
    #expect(plans[0] == plans[1] && plans[0].contains("calibration-sha256") && plans[0].contains("samples: 100"))
    #expect(code { _ = try measured(["w8a8"], saved("ranges")) } == .usage)
    #expect(code { _ = try measured(schemes, saved("ranges")) } == .plan)
    #expect(code { _ = try measured(schemes, options { $0.statistics = scratch("s") }) } == .usage)
    #expect(code { _ = try plan(.bitsPerWeight(11), ["w8a8", "float"], saved("s")) } == .plan)
  }

  @Test func doesNotDependOnThreadsOrMemory() throws {
    let texts = try [1, 2].map { threads in
      json(try measured(["w4a8-dynamic"], options { $0.threads = threads }, limit: threads == 1 ? 1 : 1 << 30))
    }
    let (one, two) = (try JSON.parse(texts[0]), try JSON.parse(texts[1]))
    for key in ["units", "layers"] {
      for (a, b) in zip(try one.required(key).asArray(), try two.required(key).asArray()) {
        let (x, y) = (try a.required("kl").asDouble(), try b.required("kl").asDouble())
        #expect(abs(x - y) <= 1e-12 * y)
      }
    }
    #expect(try json(measured(["w4a8-dynamic"])) == json(measured(["w4a8-dynamic"], options { $0.threads = 1 })))
  }

  @Test func plansByDivergence() throws {
    let result = try measured(["w8a8-dynamic", "w4a8-dynamic"])
    try json(result).write(toFile: scratch("s.json"), atomically: true, encoding: .utf8)
    let read = try Sensitivity(path: scratch("s.json"))
    #expect(json(read) == json(result))
    var last = Int.max
    for limit in [0, 1e-5, 1e-4, 1e-3, 1] {
      let plan = try plan(.divergence(limit), sensitivity: read)
      #expect(try #require(plan.divergence) <= limit)
      #expect(try #require(plan.byteCount) <= last)
      last = plan.byteCount ?? 0
      #expect(plan.units.allSatisfy { $0.divergence != nil })
    }
    let uniform = try plan(nil, ["w4a8-dynamic"], sensitivity: read)
    #expect(last == uniform.byteCount)
    #expect(abs(try #require(uniform.divergence) - read.wholes[1]) <= 1e-9 * read.wholes[1])
    // A head that is told its scheme is not measured, and said.
    let told = options { $0.overrides = [(try! NamePattern("lm_head"), "w8a16")] }
    let planner = try QuantizationPlanner(Self.model, told, target: .bitsPerWeight(7), sensitivity: read)
    #expect(planner.notes.contains { $0.contains("lm_head") } && planner.plan.units.last?.scheme == "w8a16")
    #expect(code { _ = try plan(.divergence(0.1), [], told, sensitivity: read) } == .usage)
    // What was not measured, or was measured otherwise, does not count.
    #expect(code { _ = try plan(.bitsPerWeight(9), ["w8a16", "float"], sensitivity: read) } == .plan)
    #expect(code { _ = try plan(.bitsPerWeight(9), [], options { $0.method = "ssz" }, sensitivity: read) } == .plan)
    #expect(code { _ = try plan(.divergence(0), ["w4a8-dynamic"], sensitivity: read) } == .usage)
  }

  @Test(arguments: [
    ("\"kl\": ", "\"kl\": -"), ("bessemer.quantize-sensitivity/1", "bessemer.eval/1"), ("\"units\"", "\"unit\""),
    ("\"source\": \"", "\"source\": \"z"), ("\"weight_error\": ", "\"weight_error\": 1e999, \"w\": "),
  ]) func refusesDamagedMeasurements(_ old: String, _ new: String) throws {
    let text = json(try measured(["w8a8-dynamic"]))
    #expect(text.contains(old))
    try text.replacingOccurrences(of: old, with: new).write(
      toFile: scratch("s.json"), atomically: true, encoding: .utf8)
    #expect(code { _ = try Sensitivity(path: scratch("s.json")) } == .json)
  }

  /// Plans and measurements with any bytes changed are read or refused.
  @Test(arguments: 1...2) func damagedFilesAreRefused(seed: UInt64) throws {
    var random = SplitMix64(seed: seed)
    let sources = [try plan(nil, ["w8a8-dynamic"]).text, json(try measured(["w8a8-dynamic"]))]
    for turn in 0..<200 {
      var bytes = Array(sources[turn % 2].utf8)
      for _ in 0...Int.random(in: 0...3, using: &random) {
        let place = Int.random(in: 0..<bytes.count, using: &random)
        switch Int.random(in: 0...2, using: &random) {
        case 0: bytes[place] = UInt8.random(in: 0...255, using: &random)
        case 1: bytes.removeSubrange(place..<min(bytes.count, place + Int.random(in: 1...40, using: &random)))
        default: bytes.insert(contentsOf: bytes[place..<min(bytes.count, place + 30)], at: place)
        }
      }
      try Data(bytes).write(to: URL(fileURLWithPath: scratch("damaged")))
      do {
        if turn % 2 == 0 {
          let plan = try QuantizationPlan(path: scratch("damaged"))
          _ = try Quantizer(Self.model, to: scratch("none"), options: plan.options, plan: plan)
        } else {
          _ = try plan(.bitsPerWeight(9), sensitivity: Sensitivity(path: scratch("damaged")))
        }
      } catch is BessemerError {
      }
    }
  }
}
