import Foundation
import Quantization
import Runtime
import TestSupport
import Tensors
import Testing

@testable import Converter

/// Plans of the small trained model: chosen, written, read and carried out.
@Suite struct QuantizationPlanTests: PlanTrials {
  private let scratch = Scratch()

  private func apply(_ text: String, _ name: String, threads: Int = 1, calibration: String? = nil) throws -> Quantizer {
    try text.write(toFile: scratch(name + ".yaml"), atomically: true, encoding: .utf8)
    let plan = try QuantizationPlan(path: scratch(name + ".yaml"))
    var options = plan.options
    options.threads = threads
    options.calibration = calibration
    let quantizer = try Quantizer(Self.model, to: scratch(name), options: options, plan: plan)
    try quantizer.write { _, _ in }
    return quantizer
  }

  private func same(_ a: String, _ b: String) throws -> Bool {
    let names = try FileManager.default.contentsOfDirectory(atPath: scratch(a)).sorted()
    guard try names == FileManager.default.contentsOfDirectory(atPath: scratch(b)).sorted() else { return false }
    return names.allSatisfy {
      FileManager.default.contentsEqual(atPath: scratch("\(a)/\($0)"), andPath: scratch("\(b)/\($0)"))
    }
  }

  private func code(_ body: () throws -> Void) -> ErrorCode? {
    do { try body() } catch { return (error as? BessemerError)?.code }
    return nil
  }

  // MARK: Choosing

  @Test(arguments: [7.2, 7.7, 8, 9.1, 12]) func keepsBitsPerWeight(_ bits: Double) throws {
    let plan = try plan(.bitsPerWeight(bits))
    #expect(try #require(plan.bitsPerWeight) <= bits)
    let quantizer = try apply(plan.text, "p")
    #expect(quantizer.byteCount == plan.byteCount)
    #expect(Set(plan.units.map(\.scheme)).isSubset(of: ["float", "w8a8-dynamic", "w4a8-dynamic"]))
    #expect(plan.units.last?.scheme == "float" && plan.units.last?.layers == ["lm_head"])
  }

  @Test(arguments: [1_850_000, 2_000_000, 2_400_000]) func filesKeepASize(_ bytes: Int) throws {
    let plan = try plan(.size(bytes))
    _ = try apply(plan.text, "p")
    let sizes = try FileManager.default.contentsOfDirectory(atPath: scratch("p")).filter {
      $0.hasSuffix(".safetensors")
    }
    .map { try FileManager.default.attributesOfItem(atPath: scratch("p/" + $0))[.size] as? Int ?? 0 }
    #expect(sizes.reduce(0, +) <= bytes && sizes.reduce(0, +) > bytes * 19 / 20 - 60_000)
  }

  @Test func refusesTargetsThatCannotBe() throws {
    for target in [QuantizationPlanner.Target.size(1_000_000), .bitsPerWeight(6), .bitsPerWeight(0), .divergence(0.1)] {
      #expect(code { _ = try plan(target) } == .usage)
    }
    #expect(code { _ = try plan(nil) } == .usage)
    #expect(code { _ = try plan(.bitsPerWeight(9), ["w8a8-dynamic", "w9"]) } == .usage)
    // A method that finds no such codes leaves nothing to choose.
    #expect(code { _ = try plan(nil, ["w4a16"], options { $0.method = "mse-round" }) } == .unsupportedFeature)
    // vLLM-Ascend has four bits for experts alone.
    #expect(code { _ = try plan(nil, ["w4a8-dynamic"], options { $0.format = "vllm-ascend" }) } == .unsupportedFeature)
  }

  @Test func patternsTakeWholeUnits() throws {
    let kept = try plan(nil, ["w8a8-dynamic"], options { $0.keep = [try! NamePattern("model.layers.0.self_attn.*")] })
    #expect(kept.units.filter { $0.scheme == "float" }.count == 3)
    let head = try plan(
      nil, ["w8a8-dynamic"], options { $0.overrides = [(try! NamePattern("lm_head"), "w8a16")] })
    #expect(head.units.last?.scheme == "w8a16")
    for pattern in ["*.q_proj", "nothing"] {
      #expect(code { _ = try plan(nil, ["w8a8-dynamic"], options { $0.keep = [try! NamePattern(pattern)] }) } == .usage)
    }
  }

  // MARK: Carrying out

  @Test(arguments: [
    ("w8a8-dynamic", []), ("w4a16", ["method", "ssz"]), ("w8a16-g64", ["format", "mindie"]), ("w8a8", ["calibration"]),
    ("w4a16-g32", ["smooth", "awq", "calibration"]), ("w8a8-dynamic", ["rotate", "heads"]),
  ]) func oneSchemeIsTheSameAsWithoutAPlan(_ scheme: String, _ settings: [String]) throws {
    let data = scratch("data.txt")
    try (1...8).map { "once upon a time there were \($0) kings\n" }.joined()
      .write(toFile: data, atomically: true, encoding: .utf8)
    var own = options()
    own.calibration = settings.last == "calibration" ? data : nil
    if settings.count > 1 { try own.set(settings[0], settings[1]) }
    let text = try plan(nil, [scheme], own).text
    #expect(!text.contains(data))
    _ = try apply(text, "a", threads: 2, calibration: own.calibration)
    own.scheme = scheme
    own.threads = 1
    try Quantizer(Self.model, to: scratch("b"), options: own).write { _, _ in }
    #expect(try same("a", "b"))
    guard own.calibration != nil else { return }
    #expect(code { _ = try apply(text, "c") } == .usage)
    try "something else\n".write(toFile: data, atomically: true, encoding: .utf8)
    #expect(code { _ = try apply(text, "d", calibration: data) } == .plan)
  }

  @Test func aMixIsTheSameForAnyThreadCount() throws {
    let text = try plan(.bitsPerWeight(8)).text
    #expect(try text == plan(.bitsPerWeight(8), [], options { $0.threads = 1 }).text)
    _ = try apply(text, "a", threads: 1)
    _ = try apply(text, "b", threads: 2)
    #expect(try same("a", "b"))
  }

  @Test func asksForAnotherModelsPlan() throws {
    let text = try plan(nil, ["w8a8-dynamic"]).text
    let line = text.split(separator: "\n").first { $0.hasPrefix("source: ") }!
    let other = text.replacingOccurrences(of: line, with: "source: " + String(repeating: "0", count: 64))
    #expect(code { _ = try apply(other, "x") } == .plan)
    #expect(!FileManager.default.fileExists(atPath: scratch("x")))
  }

  /// Every line changed is an error with a code, and nothing is written.
  @Test(arguments: [
    ("      - lm_head\n", "      - lm_tail\n", ErrorCode.plan), ("      - lm_head\n", "", .yaml),
    ("      - lm_head\n", "      - lm_head\n      - lm_head\n", .plan),
    ("layers.3.mlp.down_proj\n", "layers.2.mlp.down_proj\n", .plan), ("scheme: float", "scheme: w9a9", .plan),
    ("scheme: float", "scheme: w8a8", .usage), ("units:", "unit:", .plan), ("plan: bessemer.plan/1\n", "", .plan),
    ("bessemer.plan/1", "bessemer.plan/2", .yaml), ("expected:", "settings:\n  method: none\nexpected:", .usage),
    ("expected:", "settings:\n  methods: ssz\nexpected:", .plan), ("  rows: 16", "  rows: .nan", .yaml),
    ("  rows: 16", "  rows: 99999999999999999999", .yaml), ("  rows: 16", "  rows: 16\n  rows: 16", .yaml),
    ("expected:", "settings:\n  samples: -1\nexpected:", .plan), ("  rows: 16", "  kl: nan", .yaml),
    ("units:", "x: &a [*a]\nunits:", .yaml), ("units:", "units: &a\n", .yaml),
    ("scheme: float", "scheme: !!str float", .yaml),
    ("expected:", "settings: [1]\nexpected:", .yaml), ("source: ", "source: z", .yaml),
  ]) func refuses(_ old: String, _ new: String, _ expected: ErrorCode) throws {
    let text = try plan(nil, ["w8a8-dynamic"]).text
    #expect(text.contains(old))
    #expect(code { _ = try apply(text.replacingOccurrences(of: old, with: new), "x") } == expected)
    #expect(!FileManager.default.fileExists(atPath: scratch("x")))
  }

  @Test func refusesWhatIsNoPlan() throws {
    for (text, expected) in [("", ErrorCode.yaml), ("[]", .yaml), ("{}", .plan), ("a: {a: {", .yaml), ("\u{0}", .yaml)]
    {
      #expect(code { _ = try apply(text, "x") } == expected, "\(text)")
    }
    let long = "plan: bessemer.plan/1 #" + String(repeating: "x", count: 65 << 20)
    #expect(code { _ = try apply(long, "x") } == .limit)
    let deep = String(repeating: "[", count: 10_000)
    #expect(code { _ = try apply(deep, "x") } == .limit)
  }

  @Test func layersThatAreJoinedAreOneUnit() throws {
    for (name, expected) in [
      ("glm4_moe-base", [3, 1, 2, 1, 3, 1, 18, 2, 1]), ("deepseek_v3-base", [2, 1, 1, 1, 2, 1]),
    ] {
      let model = try LoadedModel(
        path: Fixtures.folder + "/models/" + name, options: ModelOptions(separatesExperts: true))
      let units = LinearFinder(model.graph).units().filter(\.isQuantizedByDefault)
      #expect(units.map(\.layers.count).starts(with: expected), "\(units.map { $0.layers.map(\.module) })")
    }
  }
}
